//! `[[socket]]`, `[[timer]]` and `[[path]]`: what is wrong with them, and templates that accept connections.

use super::*;

#[test]
fn what_is_wrong_with_triggers() {
    for (text, wrong) in [
        (
            "[[timer]]\npersistent = true\n",
            "needs `on-calendar`, `every` or `on-boot`",
        ),
        ("[[timer]]\nevery = \"0s\"\n", "longer than nothing"),
        (
            "[[timer]]\nevery = \"1h\"\npersistent = true\n",
            "`persistent` needs `on-calendar`",
        ),
        (
            "[[timer]]\non-calendar = \"Mun\"\n",
            "t.toml:4:15: `Mun` is no calendar expression",
        ),
        ("[[path]]\n", "a `[[path]]` needs"),
        ("[[path]]\nexists = \"go\"\n", "no absolute path"),
        ("[[socket]]\nname = \"x\"\n", "a `[[socket]]` has one of"),
        (
            "[[socket]]\nlisten-stream = 1\nlisten-fifo = \"/x\"\n",
            "a `[[socket]]` has one of",
        ),
        ("[[socket]]\nlisten-stream = \"@x\"\n", "use a path"),
        ("[[socket]]\nlisten-sequential-packet = 80\n", "is a path"),
        ("[[socket]]\nlisten-stream = 80\nmode = \"0600\"\n", "are of a path"),
        ("[[socket]]\nlisten-stream = 80\nname = \"a:b\"\n", "no `:`"),
        (
            "[[socket]]\nlisten-stream = 80\n[[socket]]\nlisten-stream = 80\n",
            "is the same",
        ),
        (
            "[[socket]]\nlisten-stream = 80\naccept = true\n",
            "call the file NAME@.toml",
        ),
        (
            "[[socket]]\nlisten-datagram = 80\naccept = true\n",
            "`accept` needs `listen-stream`",
        ),
        ("standard-input = \"socket\"\n", "needs one `[[socket]]`"),
    ] {
        let told = Units::new(&[("t.toml", &format!("{PLAIN}{text}"))]).told();
        assert!(told.len() == 1 && told[0].contains(wrong), "{text}: {told:?}");
    }
}

#[test]
fn a_template_that_accepts_has_a_unit_that_waits_for_connections() {
    let text = "[unit]\nwanted-by = [\"default\"]\nrequires = [\"db\"]\n[service]\nexec-start = [\"/bin/cat\", \"{instance}\"]\n\
                standard-input = \"socket\"\n[[socket]]\nlisten-stream = 7\naccept = true\n";
    let units = Units::new(&[("echo@.toml", text), ("plain@.toml", PLAIN), ("db.toml", PLAIN)]);
    let listener = units.unit("echo");
    assert!(service(&listener).accepts() && service(&listener).is_triggered());
    let names: Vec<String> = units.load().units.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["db", "default", "echo"]);
    let path = SearchPath::new(units.directories.clone());
    let name = UnitName::new("echo@1").unwrap();
    let instance = load::instantiate(&path, &name, &mut Texts::new()).unwrap();
    assert!(!service(&instance).needs_arming());
    assert_eq!(service(&instance).restart.policy, RestartPolicy::No);
    let kinds: Vec<LinkKind> = instance.links.iter().map(|link| link.kind).collect();
    assert_eq!(kinds, [LinkKind::Requires(Need::Ready)]);
}
