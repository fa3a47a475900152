//! What is kept is what was written, and no more of it than is said.

use super::*;

fn store(dir: &tempfile::TempDir) -> Store {
    Store::new(dir.path().join("generations"))
}

fn generation(number: u64) -> Generation {
    Generation {
        number,
        ..Generation::default()
    }
}

fn unit(name: &str, path: &str, text: &str) -> (Unit, Texts) {
    let files: [(Rc<str>, Rc<str>); 1] = [(path.into(), text.into())];
    let (unit, findings) = sources::parse(&UnitName::new(name).unwrap(), &files, Vec::new());
    assert!(findings.is_empty(), "{findings:?}");
    (unit, Texts::from([(TextId::of(text), text.into())]))
}

#[test]
fn a_generation_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let (web, texts) = unit("web", "/u/web.toml", "[service]\nexec-start = \"/bin/true\"\n");
    let mut first = generation(1);
    first
        .add(&web, &[], |id| texts.get(&id).map(ToString::to_string))
        .unwrap();
    assert!(generation(2).add(&web, &[], |_| None).is_none());
    store.write(&first).unwrap();
    let read = store.read(1).unwrap();
    assert_eq!(read, first);
    let (units, known) = read.read_units().unwrap();
    assert_eq!((units, known), (vec![Rc::new(web)], texts));
    assert!(store.read(2).unwrap_err().contains("no such generation"));
    assert_eq!(store.state(), Ok(None));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join("generations")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn torn_files_are_told_and_none_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    store.write(&generation(1)).unwrap();
    fs::write(dir.path().join("generations/1.json"), "{\"number\":1,").unwrap();
    fs::write(dir.path().join("generations/state.json"), "").unwrap();
    assert!(store.read(1).is_err() && store.state().is_err());
}

#[test]
fn the_last_ones_and_the_last_good_one_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    (1..=31).for_each(|number| store.write(&generation(number)).unwrap());
    let mut state = State {
        number: 30,
        last: 30,
        verdicts: BTreeMap::from([(2, Verdict::Good), (3, Verdict::Failed("x".into())), (4, Verdict::Good)]),
        ..State::default()
    };
    store.prune(&mut state);
    let numbers = store.numbers();
    assert_eq!(numbers.first(), Some(&4));
    assert_eq!(numbers.last(), Some(&30), "31 never came into force");
    assert_eq!(numbers.len(), KEPT_MAX, "{numbers:?}");
    assert_eq!(state.verdicts.len(), 1);
    assert_eq!(state.last_good_before(30), Some(4));
}

#[test]
fn what_does_not_last_is_told_apart() {
    let text = "[service]\nexec-start = \"/bin/true\"\n";
    let of = |paths: &[&str]| {
        let units: Vec<Rc<Unit>> = paths.iter().map(|path| Rc::new(unit("web", path, text).0)).collect();
        Fingerprint::of(units.iter(), &["/run/svc/set".into()], Path::new("/run/svc"))
    };
    let (disk, both, set) = (
        of(&["/u/a"]),
        of(&["/u/a", "/run/svc/units/b"]),
        of(&["/u/a", "/run/svc/set/c"]),
    );
    assert_eq!(disk, set);
    assert_eq!(disk.lasting, both.lasting);
    assert_ne!(disk.all, both.all);
    assert_ne!(disk, of(&["/u/b"]));
}

#[test]
fn fields_of_a_later_version_are_ignored_and_missing_ones_are_not_needed() {
    let state: State = serde_json::from_str(r#"{"number":3,"moon":[1],"verdicts":{"2":"good"}}"#).unwrap();
    assert_eq!((state.number, state.last_good_before(3)), (3, Some(2)));
}
