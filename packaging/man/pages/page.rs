//! A manual page as it is written: man(7). What stands between backticks is bold.

use roff::{Inline, Roff, bold, roman};

pub struct Page(Roff);

impl Page {
    pub fn new(name: &str, section: &str, summary: &str) -> Self {
        let mut roff = Roff::new();
        let version = format!("svc {}", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [name, section, "", &version]);
        let mut page = Self(roff);
        page.heading("NAME");
        page.0.text(vec![roman(format!("{name} - {summary}"))]);
        page
    }

    pub fn heading(&mut self, text: &str) {
        self.0.control("SH", [text]);
    }

    pub fn subheading(&mut self, text: &str) {
        self.0.control("SS", [text]);
    }

    pub fn paragraph(&mut self, text: &str) {
        self.0.control("PP", []);
        self.line(text);
    }

    /// A term and what it means, indented below it.
    pub fn item(&mut self, term: &str, text: &str) {
        self.0.control("TP", []);
        self.0.text(vec![bold(term)]);
        self.line(text);
    }

    /// A term with something said beside it.
    pub fn item_beside(&mut self, term: &str, beside: &str, text: &str) {
        self.0.control("TP", []);
        self.0.text(vec![bold(term), roman(format!(" {beside}"))]);
        self.line(text);
    }

    /// Goes on with what an item says, on a line of its own.
    pub fn further(&mut self, text: &str) {
        self.0.control("br", []);
        self.line(text);
    }

    /// Text as it stands, in a fixed width.
    pub fn example(&mut self, text: &str) {
        self.0.control("PP", []);
        self.0.control("in", ["+4n"]);
        self.0.control("EX", []);
        for line in text.lines() {
            self.0.text(vec![roman(line)]);
        }
        self.0.control("EE", []);
        self.0.control("in", []);
    }

    pub fn see_also(&mut self, others: &[&str]) {
        self.heading("SEE ALSO");
        let others: Vec<String> = others.iter().map(|other| format!("`{other}`")).collect();
        self.line(&others.join(", "));
    }

    pub fn render(&self) -> String {
        self.0.render()
    }

    fn line(&mut self, text: &str) {
        let pieces = text.split('`').enumerate();
        let inlines: Vec<Inline> = pieces
            .filter(|(_, piece)| !piece.is_empty())
            .map(|(nth, piece)| if nth % 2 == 1 { bold(piece) } else { roman(piece) })
            .collect();
        self.0.text(inlines);
    }
}
