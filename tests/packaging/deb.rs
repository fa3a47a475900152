//! The Debian package, built by cargo-deb from what its metadata names; the programs in it are those of this build.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::man::pages;
use super::{repository, run, skip};

/// The repository again, with a target/package of its own.
fn copy(folder: &Path) {
    for entry in fs::read_dir(repository()).expect("the repository").flatten() {
        if !["target", ".git"].iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), folder.join(entry.file_name())).expect("link");
        }
    }
    let package = folder.join("target/package");
    for below in ["man", "completions"] {
        fs::create_dir_all(package.join(below)).expect("a directory");
    }
    for (name, built) in [("svc", env!("CARGO_BIN_EXE_svc")), ("svcd", env!("CARGO_BIN_EXE_svcd"))] {
        run(Command::new("strip").arg("-o").arg(package.join(name)).arg(built));
    }
    for (name, text) in pages::all() {
        fs::write(package.join("man").join(name), text).expect("write");
    }
    for (shell, name) in [("bash", "svc"), ("zsh", "_svc"), ("fish", "svc.fish")] {
        let script = run(Command::new(package.join("svc")).args(["completions", shell])).stdout;
        fs::write(package.join("completions").join(name), script).expect("write");
    }
}

fn build(folder: &Path) -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let has = |mut command: Command| {
        command
            .arg("--version")
            .output()
            .is_ok_and(|done| done.status.success())
    };
    let mut deb = Command::new(&cargo);
    deb.arg("deb");
    if !has(deb) || !has(Command::new("dpkg-deb")) {
        skip(
            "deb::a_package_is_whole",
            "cargo-deb or dpkg-deb is not installed: cargo install cargo-deb",
        );
        return None;
    }
    copy(folder);
    let out = folder.join("svc.deb");
    let mut deb = Command::new(cargo);
    deb.args(["deb", "--quiet", "--fast", "--no-build", "--no-strip", "--output"])
        .arg(&out);
    run(deb.current_dir(folder).env_remove("CARGO_TARGET_DIR"));
    Some(out)
}

#[test]
fn a_package_is_whole() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let Some(deb) = build(folder.path()) else { return };
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(&deb).arg(&root));
    for (path, mode) in [
        ("usr/bin/svc", 0o755),
        ("usr/sbin/svcd", 0o755),
        ("usr/lib/svc/microvm", 0o755),
        ("usr/lib/svc/initramfs", 0o755),
        ("usr/lib/svc/root.sh", 0o644),
        ("usr/lib/svc/units/getty@.toml", 0o644),
        ("usr/lib/svc/units/rescue.toml", 0o644),
        ("usr/lib/systemd/system/svcd.service", 0o644),
        ("usr/share/man/man1/svc.1.gz", 0o644),
        ("usr/share/man/man5/svc.unit.5.gz", 0o644),
        ("usr/share/man/man8/svcd.8.gz", 0o644),
        ("usr/share/bash-completion/completions/svc", 0o644),
        ("usr/share/doc/svc/copyright", 0o644),
        ("usr/share/doc/svc/examples/microvm/web.toml", 0o644),
    ] {
        use std::os::unix::fs::PermissionsExt;
        let meta = fs::metadata(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{path}");
    }
    let control = fs::read_to_string(root.join("DEBIAN/control")).expect("control");
    assert!(
        control.contains("Package: svc\n") && !control.contains("$auto"),
        "{control}"
    );
    for script in ["postinst", "prerm", "postrm"] {
        let path = root.join("DEBIAN").join(script);
        run(Command::new("sh").arg("-n").arg(&path));
        let text = fs::read_to_string(&path).expect("a script");
        assert!(
            text.contains("svcd.service") || text.contains("daemon-reload"),
            "{script}: {text}"
        );
        assert!(!text.contains("#DEBHELPER#"), "{script}: {text}");
    }
    // The service starts the program that the package has.
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/svcd.service")).expect("a unit");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/"))
        .expect("ExecStart");
    assert!(root.join(start.split(' ').next().unwrap_or(start)).is_file(), "{start}");
    assert!(unit.lines().any(|line| line == "Delegate=yes"), "{unit}");
}
