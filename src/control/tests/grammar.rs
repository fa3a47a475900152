//! Interface texts, read as strictly as varlink's grammar allows.

/// One `type`, `method` or `error` of an interface text: its name, what goes in, and what a method returns.
#[derive(Debug)]
pub struct Member {
    pub keyword: String,
    pub name: String,
    pub fields: Vec<(String, String)>,
    pub returns: Vec<(String, String)>,
}

/// A reader of the part of varlink's grammar that our texts use: strict, so that a slip in them shows here.
pub struct Grammar<'a>(&'a str);

impl<'a> Grammar<'a> {
    fn space(&mut self) {
        loop {
            self.0 = self.0.trim_start();
            let Some(comment) = self.0.strip_prefix('#') else {
                return;
            };
            self.0 = comment.split_once('\n').unwrap().1;
        }
    }
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
    fn word(&mut self, allowed: fn(char) -> bool) -> String {
        self.space();
        let (word, rest) = self.0.split_at(self.0.find(|c| !allowed(c)).unwrap_or(self.0.len()));
        assert!(
            word.starts_with(|c: char| c.is_ascii_alphabetic()),
            "no name at: {:.40}",
            self.0
        );
        self.0 = rest;
        word.to_owned()
    }
    fn name(&mut self) -> String {
        self.word(|c| c.is_ascii_alphanumeric())
    }
    fn field(&mut self) -> String {
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(!name.ends_with('_') && !name.contains("__"), "{name}");
        name
    }
    fn r#type(&mut self) -> String {
        for mark in ["?", "[]", "[string]"] {
            if self.take(mark) {
                return format!("{mark}{}", self.r#type());
            }
        }
        self.name()
    }
    fn fields(&mut self) -> Vec<(String, String)> {
        assert!(self.take("("), "no ( at: {:.40}", self.0);
        let mut fields = Vec::new();
        while !self.take(")") {
            assert!(fields.is_empty() || self.take(","), "no comma at: {:.40}", self.0);
            let name = self.field();
            assert!(self.take(":"), "no : after {name}");
            fields.push((name, self.r#type()));
        }
        fields
    }
    pub fn interface(text: &'a str) -> (String, Vec<Member>) {
        let mut it = Self(text);
        assert_eq!(it.name(), "interface");
        let name = it.word(|c| c.is_ascii_alphanumeric() || c == '.');
        let mut members = Vec::new();
        loop {
            it.space();
            if it.0.is_empty() {
                return (name, members);
            }
            let keyword = it.name();
            assert!(["type", "method", "error"].contains(&keyword.as_str()), "{keyword}");
            let name = it.name();
            let fields = it.fields();
            let returns = if keyword == "method" {
                assert!(it.take("->"), "{name} returns nothing");
                it.fields()
            } else {
                Vec::new()
            };
            members.push(Member {
                keyword,
                name,
                fields,
                returns,
            });
        }
    }
}
