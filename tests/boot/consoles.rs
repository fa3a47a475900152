//! Consoles of a machine: a login on each, a shell where nothing else comes up, and what is said at boot.

use super::machine::Machine;

const SHIPPED: [(&str, &str); 3] = [
    ("getty@", include_str!("../../units/getty@.toml")),
    ("rescue", include_str!("../../units/rescue.toml")),
    ("rescue-shell", include_str!("../../units/rescue-shell.toml")),
];

/// A machine with the units that ship.
fn shipped(test: &str, script: &str) -> Option<Machine> {
    let mut machine = Machine::new(test, script)?;
    for (name, text) in SHIPPED {
        machine.tree().file(&format!("/usr/lib/svc/units/{name}.toml"), text);
    }
    machine.tree().link("/sbin/getty", "/bin/busybox");
    Some(machine)
}

/// Types the way out of a rescue shell, whose prompt is there.
const MEND: &str = "echo mended=$((6*7)); /bin/busybox poweroff -f\n";

#[test]
fn there_is_a_login_on_the_console_of_the_kernel() {
    let script = "until ps | grep -q '[g]etty 115200'; do sleep 0.1; done; sleep 2";
    let Some(machine) = shipped("there_is_a_login_on_the_console_of_the_kernel", script) else {
        return;
    };
    let console = machine.boot();
    console.says("localhost login:");
    console.says("svcd: getty@ttyS0: ready");
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let Some(machine) = Machine::new("quiet_says_only_what_is_wrong", "true") else {
        return;
    };
    let mut machine = machine.line("quiet");
    machine.tree().file(
        "/usr/lib/svc/units/broken.toml",
        "[service]\nexec-stat = \"/bin/true\"\n",
    );
    let console = machine.boot();
    console.does_not_say("probe: starting");
    console.says("svcd: warning: /usr/lib/svc/units/broken.toml:2");
    machine.line = String::new();
    machine.boot().says("svcd: probe: starting");
}

#[test]
fn the_rescue_target_is_a_shell_and_nothing_else() {
    let test = "the_rescue_target_is_a_shell_and_nothing_else";
    let Some(machine) = shipped(test, "echo the probe was not to run") else {
        return;
    };
    let console = machine.line("svc.target=rescue").talk(&[("rescue# ", MEND)]);
    assert_eq!(console.value("mended"), "42");
    console.does_not_say("the probe was not to run\n");
    console.does_not_say("svcd: error");
}

#[test]
fn the_end_of_the_rescue_shell_goes_on_with_the_boot() {
    let Some(machine) = shipped("the_end_of_the_rescue_shell_goes_on_with_the_boot", "echo booted=yes") else {
        return;
    };
    let console = machine.line("svc.target=rescue").talk(&[("rescue# ", "exit\n")]);
    assert_eq!(console.value("booted"), "yes");
}

/// Missing, not valid, masked, in a cycle: and no file of the rescue target either.
#[test]
fn a_default_target_that_cannot_be_had_leads_to_a_shell() {
    let test = "a_default_target_that_cannot_be_had_leads_to_a_shell";
    let nothing = &[][..];
    for (line, files, why) in [
        ("svc.target=nonesuch", nothing, "default target nonesuch: no such unit"),
        (
            "",
            &[("default", "[target]\nbogus = 1\n")],
            "default target default: /etc/svc/units/default.toml:2: unknown key `bogus`",
        ),
        ("", &[("default", "")], "default target default: masked"),
        (
            "",
            &[
                ("default", "[unit]\nrequires = [\"a\"]\n[target]\n"),
                ("a", "[unit]\nrequires = [\"default\"]\n[target]\n"),
            ],
            "default target default: cycle: ",
        ),
    ] {
        let Some(machine) = Machine::new(test, "echo the probe was not to run") else {
            return;
        };
        let mut machine = machine.line(line);
        for (name, text) in files {
            machine.tree().file(&format!("/etc/svc/units/{name}.toml"), *text);
        }
        let console = machine.talk(&[("rescue# ", MEND)]);
        console.says(&format!("svcd: error: {why}"));
        console.says("svcd: error: starting rescue in its place");
        assert_eq!(console.value("mended"), "42", "{why}");
    }
}

/// What is required and not there blocks the default target, and not the login that it wants.
#[test]
fn a_blocked_default_target_has_its_login() {
    let script = "until ps | grep -q '[g]etty 115200'; do sleep 0.1; done; sleep 2";
    let Some(mut machine) = shipped("a_blocked_default_target_has_its_login", script) else {
        return;
    };
    let default = "[unit]\nrequires = [\"nonesuch\"]\n[target]\n";
    machine.tree().file("/etc/svc/units/default.toml", default);
    let console = machine.boot();
    console.says("svcd: default: blocked: requires nonesuch");
    console.says("localhost login:");
}

/// A machine whose svcd cannot come up is not a machine that panics.
#[test]
fn a_shell_takes_the_place_of_an_svcd_that_cannot_come_up() {
    let test = "a_shell_takes_the_place_of_an_svcd_that_cannot_come_up";
    let Some(machine) = Machine::new(test, "echo the probe was not to run") else {
        return;
    };
    // What stands behind two hyphens is for the init; kernel-parameters.txt.
    let machine = machine.line("-- --runtime-dir /proc/none");
    let console = machine.talk(&[("a shell takes the place of svcd", ""), ("# ", MEND)]);
    console.says("svcd: error: /proc/none");
    assert_eq!(console.value("mended"), "42");
}
