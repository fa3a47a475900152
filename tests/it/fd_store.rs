//! Descriptors that a service gives to svcd and gets back at its next start: `FDSTORE=1` of sd_notify(3).

use std::fs;

use rustix::process::Signal;

use super::harness::{Plan, Svcd};
use super::machine::{eventually, members, program, send, skip, stays};

/// Says what it was given; counts its starts in a file of memory that it gives away; at USR1 lets go of that, and at USR2
/// closes the other ends of two sockets that it gave away.
const SCRIPT: &str = r#"
import array, os, signal, socket
def tell(text, *fds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(os.environ["NOTIFY_SOCKET"])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        to.sendmsg([text.encode()], rights)
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
given = {name: 3 + nth for nth, name in enumerate(names) if name}
count = 0
if "count" in given:
    count = int(os.pread(given["count"], 10, 0))
else:
    memory = os.memfd_create("count")
    given["count"] = memory
    tell("FDSTORE=1\nFDNAME=count", memory)
count += 1
os.pwrite(given["count"], b"%d" % count, 0)
# It is one open file, so it is kept once.
tell("FDSTORE=1\nFDNAME=count", given["count"])
ends = []
if count == 1:
    for more in ["FDNAME=peer", "FDPOLL=0\nFDNAME=bad:name"]:
        here, there = socket.socketpair()
        tell("FDSTORE=1\n" + more, there.fileno())
        there.close()
        ends.append(here)
    # The fifth is one too many.
    tell("FDSTORE=1", *[os.memfd_create("more") for _ in range(2)])
signal.signal(signal.SIGUSR1, lambda *_: tell("FDSTOREREMOVE=1\nFDNAME=count"))
signal.signal(signal.SIGUSR2, lambda *_: [end.close() for end in ends])
print("start %d with %s of %s" % (count, ":".join(names), os.environ["FDSTORE"]), flush=True)
while True:
    signal.pause()
"#;

/// A supervisor with `web`, which has one socket and a store of four.
fn storing(test: &str) -> Option<Svcd> {
    let Some(python) = program("python3") else {
        skip(test, "no python3");
        return None;
    };
    let plan = Plan::new();
    let script = plan.dir().join("store.py");
    fs::write(&script, SCRIPT).unwrap();
    let text = format!(
        "[service]\nexec-start = [\"{}\", \"{}\"]\nfile-descriptor-store-max = 4\n[restart]\npolicy = \"always\"\ndelay = \"1ms\"\n\
         [[socket]]\nlisten-datagram = \"{}\"\nname = \"http\"\n",
        python.display(),
        script.display(),
        plan.dir().join("socket").display()
    );
    let svcd = plan.unit("web", &text).start();
    svcd.ok(&["start", "web"]);
    svcd.line("web", "start 1 with http of 4");
    keeps(&svcd, 4);
    Some(svcd)
}

fn keeps(svcd: &Svcd, count: u64) {
    eventually("so many are kept", || svcd.status("web")["stored-descriptors"] == count);
}

#[test]
fn what_a_service_stores_is_there_at_its_next_start() {
    let test = "what_a_service_stores_is_there_at_its_next_start";
    let Some(mut svcd) = storing(test) else { return };
    assert!(svcd.ok(&["status", "web"]).contains("4 descriptors for its next start"));
    eventually("it is told what is too much", || {
        svcd.said()
            .contains("as many descriptors kept as file-descriptor-store-max")
    });
    // The other ends of two sockets go with the process: one of them was not to be watched.
    send(svcd.main_pid("web"), Signal::KILL);
    svcd.line("web", "start 2 with http:count:stored:stored of 4");
    svcd.ok(&["restart", "web"]);
    svcd.line("web", "start 3 with http:count:stored:stored of 4");
    svcd.ok(&["reexec"]);
    keeps(&svcd, 3);
    send(svcd.main_pid("web"), Signal::KILL);
    svcd.line("web", "start 4 with http:count:stored:stored of 4");
    // Of a killed svcd's, what the service has open is found there.
    svcd.kill();
    svcd.start_again();
    send(svcd.main_pid("web"), Signal::KILL);
    svcd.line("web", "start 5 with http:count:stored:stored of 4");
    // The reaper of the run before is nobody's child, and takes its time.
    eventually("the run before is gone", || members(&svcd.cgroup("web")).len() == 2);
}

#[test]
fn what_is_not_needed_any_more_is_let_go() {
    let test = "what_is_not_needed_any_more_is_let_go";
    let Some(svcd) = storing(test) else { return };
    send(svcd.main_pid("web"), Signal::USR2);
    keeps(&svcd, 3);
    send(svcd.main_pid("web"), Signal::USR1);
    keeps(&svcd, 2);
    assert!(stays(200, || svcd.status("web")["stored-descriptors"] == 2));
    svcd.ok(&["stop", "web"]);
    keeps(&svcd, 0);
    svcd.ok(&["start", "web"]);
    eventually("it starts with nothing", || {
        let lines = svcd.lines("web");
        lines.iter().filter(|line| *line == "start 1 with http of 4").count() == 2
    });
}
