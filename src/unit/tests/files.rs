//! Which files count, in which order, and what stands in their way.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_plain_file_has_every_default() {
    let unit = unit_of(PLAIN);
    let expected = Service {
        exec_start: service(&unit).exec_start.clone(),
        ..Service::default()
    };
    assert_eq!(service(&unit), &expected);
    assert_eq!(&*service(&unit).exec_start[0].program, "/bin/true");
    assert_eq!(unit.links, []);
}

#[test]
fn drop_ins_merge_tables_and_replace_lists() {
    let units = Units::layered(&[
        &[
            (
                "web.toml.d/20.toml",
                "[service]\nenvironment = { B = \"20\" }\n[restart]\ndelay = \"2s\"\n",
            ),
            ("web.toml.d/40.toml", ""),
        ],
        &[
            (
                "web.toml",
                "[unit]\nafter = [\"default\", \"b\"]\n[service]\nexec-start = \"/bin/true\"\nenvironment = { A = \"0\", B = \"0\", C = \"0\" }\nnice = 1\n",
            ),
            (
                "web.toml.d/10.toml",
                "[service]\nenvironment = { B = \"10\", C = \"10\" }\nnice = 10\n[restart]\ndelay = \"1s\"\npolicy = \"always\"\n",
            ),
            ("web.toml.d/20.toml", "[service]\nnice = 19\n"),
            ("web.toml.d/30.toml", "[unit]\nafter = [\"b\"]\n"),
            ("web.toml.d/40.toml", "[service]\nnice = 5\n"),
            ("web.toml.d/.hidden.toml", "[service]\nnice = 7\n"),
            ("web.toml.d/50.conf", "[service]\nnice = 8\n"),
            ("b.toml", "[target]\n"),
        ],
    ]);
    let unit = units.unit("web");
    let its = service(&unit);
    let environment: Vec<String> = its
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(environment, ["A=0", "B=20", "C=10"]);
    // The higher 20 hides the lower one, and an empty 40 masks the lower one.
    assert_eq!(its.scheduling.nice, 10);
    assert_eq!(its.restart.delay, Duration::from_secs(2));
    assert_eq!(its.restart.policy, RestartPolicy::Always);
    let after: Vec<&str> = unit.links.iter().map(|link| link.to.as_str()).collect();
    assert_eq!(after, ["b"]);
    let files: Vec<&str> = unit
        .origin
        .files
        .iter()
        .map(|file| file.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(files, ["web.toml", "10.toml", "20.toml", "30.toml"]);
    let of = |table: &str, key: &str| {
        let all = show::effective(&unit);
        let found = all.iter().find(|its| its.table == table && its.key == key).unwrap();
        found.origin.to_string().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(of("service", "nice"), "10.toml:3");
    assert_eq!(of("restart", "delay"), "20.toml:4");
    assert_eq!(of("service", "umask"), "default");
    assert_eq!(of("isolation", "private-tmp"), "profile standard");
}

#[test]
fn a_mistake_in_a_drop_in_is_told_there() {
    let units = Units::new(&[
        ("a.toml", PLAIN),
        ("a.toml.d/x.toml", "[service]\n\nnice = 100\n"),
        ("b.toml", PLAIN),
        ("b.toml.d/x.toml", "[service]\nexec-start = [\n"),
    ]);
    let told = units.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "a.toml.d/x.toml:3:8: expected a whole number from -20 to 19");
    assert!(told[1].starts_with("b.toml.d/x.toml:"), "{told:?}");
}

#[test]
fn a_higher_directory_hides_a_lower_one() {
    let units = Units::layered(&[
        &[("a.toml", "[service]\nexec-start = \"/high\"\n"), ("masked.toml", "")],
        &[
            ("a.toml", "[service\n"),
            ("b.toml", "[service]\nexec-start = \"/low\"\n"),
            ("masked.toml", PLAIN),
        ],
    ]);
    assert_eq!(&*service(&units.unit("a")).exec_start[0].program, "/high");
    assert_eq!(&*service(&units.unit("b")).exec_start[0].program, "/low");
    assert_eq!(units.unit("masked").kind, Kind::Masked);
}

#[test]
fn templates_make_instances() {
    let units = Units::new(&[
        (
            "web@.toml",
            "[unit]\ndescription = \"{unit} on {instance}, {{not}}\"\nwants = [\"db@{instance}\"]\n[service]\nexec-start = [\"/bin/web\", \"{instance}\", \"${HOME}\"]\n",
        ),
        ("web@.toml.d/10.toml", "[service]\nnice = 1\n"),
        ("web@2.toml.d/20.toml", "[service]\nnice = 2\n"),
        ("db@.toml", PLAIN),
        ("all.toml", "[unit]\nwants = [\"web@1\", \"web@2\"]\n[target]\n"),
    ]);
    let set = units.load();
    assert_eq!(set.findings, []);
    let names: Vec<String> = set.units.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["all", "db@1", "db@2", "default", "web@1", "web@2"]);
    let templates: Vec<String> = set.templates.iter().map(ToString::to_string).collect();
    assert_eq!(templates, ["db", "web"]);
    let first = units.unit("web@1");
    assert_eq!(&*first.description, "web@1 on 1, {not}}");
    let words: Vec<&str> = service(&first).exec_start[0]
        .arguments
        .iter()
        .map(|word| &**word)
        .collect();
    assert_eq!(words, ["/bin/web", "1", "${HOME}"]);
    assert_eq!(service(&first).scheduling.nice, 1);
    assert_eq!(service(&units.unit("web@2")).scheduling.nice, 2);
    let other = load::instantiate(&units.path(), &UnitName::new("web@x:9").unwrap(), &mut Texts::new()).unwrap();
    assert_eq!(&*other.description, "web@x:9 on x:9, {not}}");
    assert_eq!(
        load::instantiate(&units.path(), &UnitName::new("nope@1").unwrap(), &mut Texts::new()),
        Err(Vec::new())
    );
}

#[test]
fn one_unit_is_read_beside_those_that_are_known() {
    let units = Units::new(&[
        (
            "web.toml",
            "[unit]\nafter = [\"db\", \"gone\"]\n[service]\nexec-start = \"/bin/true\"\n",
        ),
        ("web.toml.d/10.toml", "[service]\nnice = 3\n"),
        (
            "db.toml",
            "[unit]\nafter = [\"web\"]\n[service]\nexec-start = \"/bin/true\"\n",
        ),
        ("bad.toml", "[service]\nexec-start = \"/bin/true\"\nnice = 50\n"),
    ]);
    let one = |name: &str, others: &[&str]| {
        let others = others.iter().map(|name| Rc::new(unit_of_name(name)));
        load::one(
            &units.path(),
            &UnitName::new(name).unwrap(),
            others.collect(),
            &mut Texts::new(),
        )
    };
    let (web, findings) = one("web", &["db", "odd"]).unwrap();
    assert_eq!(service(&web).scheduling.nice, 3);
    let told: Vec<&str> = findings.iter().map(|finding| &*finding.message).collect();
    assert_eq!(told, ["no such unit: `gone`"]);
    assert_eq!(one("bad", &[]).unwrap_err().len(), 1);
    assert_eq!(one("nope", &[]), Err(Vec::new()));
    // An order that cannot be kept is one beside the others.
    let db = load::one(
        &units.path(),
        &UnitName::new("db").unwrap(),
        Vec::new(),
        &mut Texts::new(),
    )
    .unwrap()
    .0;
    let cycle = load::one(
        &units.path(),
        &UnitName::new("web").unwrap(),
        vec![db],
        &mut Texts::new(),
    )
    .unwrap_err();
    assert!(
        cycle.iter().any(|finding| finding.message.starts_with("cycle: ")),
        "{cycle:?}"
    );
}

fn unit_of_name(name: &str) -> Unit {
    Unit::target(UnitName::new(name).unwrap())
}

#[test]
fn a_bad_template_is_told_for_the_instance_that_wants_it() {
    let units = Units::new(&[
        ("web@.toml", "[service]\nexec-start = \"/bin/true\"\nnice = 50\n"),
        ("all.toml", "[unit]\nwants = [\"web@1\"]\n[target]\n"),
    ]);
    let told = units.told();
    assert_eq!(told[0], "web@.toml:3:8: expected a whole number from -20 to 19");
    let name = UnitName::new("web@7").unwrap();
    assert_eq!(
        load::instantiate(&units.path(), &name, &mut Texts::new())
            .unwrap_err()
            .len(),
        1
    );
}

#[test]
fn masks() {
    let units = Units::new(&[("empty.toml", ""), ("blank.toml", " \n")]);
    symlink("/dev/null", units.file("link.toml")).unwrap();
    symlink("link.toml", units.file("twice.toml")).unwrap();
    let set = units.load();
    for name in ["empty", "link", "twice"] {
        assert_eq!(set.units[&UnitName::new(name).unwrap()].kind, Kind::Masked, "{name}");
    }
    // Blank is not empty: it says nothing, and that is a mistake.
    assert_eq!(set.findings.len(), 1);
    assert!(set.findings[0].file.ends_with("blank.toml"));
}

#[test]
fn a_link_to_a_file_elsewhere_is_a_unit() {
    let units = Units::new(&[("real.text", PLAIN)]);
    symlink("real.text", units.file("a.toml")).unwrap();
    assert_eq!(units.unit("a").name.as_str(), "a");
}

/// None of these blocks, crashes, or hides its neighbour.
#[test]
fn odd_files_are_told_and_read_by_nobody() {
    let units = Units::new(&[("good.toml", PLAIN), ("directory.toml/inside", "x")]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        units.file("fifo.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    symlink("/dev/zero", units.file("device.toml")).unwrap();
    symlink("nowhere", units.file("dangling.toml")).unwrap();
    symlink("loop.toml", units.file("loop.toml")).unwrap();
    fs::write(units.file("latin.toml"), b"# caf\xe9\n[target]\n").unwrap();
    fs::write(units.file("long.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    fs::write(units.file("spa ce.toml"), PLAIN).unwrap();
    let told = units.told();
    let starts = [
        "dangling.toml:0:0: No such file",
        "device.toml:0:0: not read: it is no regular file",
        "fifo.toml:0:0: not read: it is a FIFO",
        "latin.toml:0:0: not UTF-8 from byte 5 on",
        "long.toml:0:0: not read: it is longer than 1 MiB",
        "loop.toml:0:0: ",
        "spa ce.toml:0:0: ",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for start in starts {
        assert!(told.iter().any(|line| line.starts_with(start)), "{start}: {told:#?}");
    }
    let names: Vec<String> = units.load().units.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["default", "good"]);
}

#[test]
fn what_editors_leave_is_no_unit() {
    let droppings = [
        "a.toml~",
        ".a.toml.swp",
        ".#a.toml",
        "#a.toml#",
        "a.toml.bak",
        "a.toml.dpkg-new",
        "4913",
        ".a.toml",
        "a.TOML",
    ];
    let mut files: Vec<(&str, &str)> = droppings.iter().map(|name| (*name, "rubbish [")).collect();
    files.push(("a.toml", PLAIN));
    let set = Units::new(&files).load();
    assert_eq!(set.findings, []);
    assert_eq!(set.units.len(), 2);
}

#[test]
fn a_directory_that_is_not_there_has_no_units() {
    let set = load(&SearchPath::new(vec!["/nonexistent/units".into()]));
    assert_eq!(set.findings, []);
    assert_eq!(set.units.keys().map(UnitName::as_str).collect::<Vec<_>>(), ["default"]);
}

#[test]
fn a_long_file_of_exactly_the_limit_is_read() {
    let mut text = PLAIN.to_owned();
    text.push_str(&"#".repeat((1 << 20) - PLAIN.len()));
    assert_eq!(unit_of(&text).name.as_str(), "t");
}

#[test]
fn what_ships_and_what_shows_is_good() {
    for (folder, least) in [("units", 3), ("units/demo", 9), ("units/microvm", 3)] {
        let set = load::check_files(&[Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)]);
        let errors: Vec<&Finding> = set
            .findings
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert!(set.units.len() >= least, "{folder}: {:?}", set.units.keys());
    }
}
