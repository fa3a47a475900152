//! Groups that are made, and taken away, in two steps: what a clone needs, and what tells that nobody is left; and the rest.

use super::*;

fn limited() -> Resources {
    Resources {
        pids_max: Some(8),
        memory_max: Some(Size(64 << 20)),
        ..unlimited()
    }
}

#[test]
fn a_group_is_the_same_in_the_end() {
    on_each(|t| {
        let mut group = t.tree.begin(&unit("begun"), &[], &limited(), &[]).unwrap();
        assert_eq!(group.is_finished(), t.is_v2("pids") && t.is_v2("memory"));
        assert!(group.may_hold("pids-max") && !group.may_hold("cpu-quota"));
        t.tree.finish(&mut group).unwrap();
        let whole = t.make("whole", &limited()).unwrap();
        assert!(group.is_finished() && whole.is_finished());
        assert_eq!(group.enforcement(), whole.enforcement());
        assert_eq!(group.join_files().len(), whole.join_files().len());
        let pids = t.path("pids", &group).join("pids.max");
        assert_eq!(std::fs::read_to_string(pids).unwrap(), "8\n");
        t.tree.finish(&mut group).unwrap();
        whole.remove().unwrap();
        group.remove().unwrap();
        assert_eq!(t.directories(), 0);
    });
}

#[test]
fn what_is_refused_in_the_second_step_can_be_taken_away() {
    on_each(|t| {
        let many = Resources {
            pids_max: Some(u64::MAX),
            ..limited()
        };
        let Ok(mut group) = t.tree.begin(&unit("many"), &[], &many, &[]) else {
            assert!(t.is_v2("pids"));
            return;
        };
        assert!(group.may_hold("pids-max"));
        assert_eq!(&*t.tree.finish(&mut group).unwrap_err().key, "pids-max");
        assert!(group.is_finished() && !group.may_hold("pids-max"));
        group.remove().unwrap();
        assert_eq!(t.directories(), 0);
    });
}

#[test]
fn where_the_first_of_its_groups_can_go_so_can_all() {
    on_each(|t| {
        let group = t.make("over", &limited()).unwrap();
        let mut process = run(&group, &[c"/bin/sleep", c"1000"]);
        until("it has joined", || group.members().unwrap() == [process.pid]);
        assert_eq!(group.begin_to_remove().unwrap_err().raw_os_error(), Some(libc::EBUSY));
        group.signal_all(Signal::KILL, &[]).unwrap();
        process.wait();
        until("the first may be removed", || group.begin_to_remove().is_ok());
        group.remove().unwrap();
        assert_eq!(t.directories(), 0);
    });
}
