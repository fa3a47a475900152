//! Who a command runs as: passwd(5) and group(5) of the unit's own root, read in the child by a bounded parser.
//!
//! No NSS: nothing of the container's is loaded into us (CVE-2019-14271), no number is looked up as a name
//! (CVE-2016-3697), and no odd file holds us up (CVE-2024-9676).

use std::path::Path;

use rustix::process::{Gid, Uid};

use super::regular;
use super::report::StepFailed;
use crate::unit::Account;

/// A passwd or group file is not longer than this: 4 MiB are some 60,000 users.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// NGROUPS_MAX of the kernel.
const GROUPS_MAX: usize = 65_536;

/// What the passwd file says of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: Option<String>,
    pub home: Option<String>,
    pub shell: Option<String>,
}

/// Becomes this user and group, for good. None and no groups: stays root, with no groups besides.
pub fn become_user(user: Option<&Account>, group: Option<&Account>, more: &[Account]) -> Result<Person, StepFailed> {
    if user.is_none() && group.is_none() && more.is_empty() {
        return match rustix::thread::set_thread_groups(&[]) {
            // user_namespaces(7): setgroups may be denied there, and then there are none to drop that count.
            Ok(()) | Err(rustix::io::Errno::PERM) => Ok(Person::default()),
            Err(error) => Err(StepFailed::new("groups", error.raw_os_error())),
        };
    }
    let passwd = read("/etc/passwd")?;
    let groups = read("/etc/group")?;
    let (uid, primary, person) = match user {
        Some(user) => find_user(&passwd, user)?,
        None => (0, Some(0), Person::default()),
    };
    let gid = match (group, primary) {
        (Some(group), _) => find_group(&groups, group)?,
        (None, Some(gid)) => gid,
        (None, None) => uid,
    };
    let mut all = vec![gid];
    if let Some(name) = &person.name {
        all.extend(groups_of(&groups, name));
    }
    for account in more {
        all.push(find_group(&groups, account)?);
    }
    all.sort_unstable();
    all.dedup();
    all.truncate(GROUPS_MAX);
    let ids: Vec<Gid> = all.into_iter().map(Gid::from_raw).collect();
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: rustix::io::Errno| match StepFailed::new(what, error.raw_os_error()) {
            failed if error == rustix::io::Errno::INVAL => {
                failed.because("its user namespace has no such id".to_owned())
            }
            failed => failed,
        }
    };
    rustix::thread::set_thread_groups(&ids).map_err(failed("groups"))?;
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("group"))?;
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("user"))?;
    Ok(person)
}

/// The numbers of this user and group.
pub fn ids(user: Option<&Account>, group: Option<&Account>) -> Result<(u32, u32), StepFailed> {
    if user.is_none() && group.is_none() {
        return Ok((0, 0));
    }
    let (uid, primary, _) = match user {
        Some(user) => find_user(&read("/etc/passwd")?, user)?,
        None => (0, Some(0), Person::default()),
    };
    let gid = match group {
        Some(group) => find_group(&read("/etc/group")?, group)?,
        None => primary.unwrap_or(uid),
    };
    Ok((uid, gid))
}

/// The text of such a file; one that is not there is empty.
fn read(path: &'static str) -> Result<String, StepFailed> {
    match regular::read(Path::new(path), FILE_BYTES_MAX) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(libc::ENOENT) => Ok(String::new()),
        Err(errno) => Err(StepFailed::new(format!("read {path}"), errno)),
    }
}

/// Decimal and nothing else; 4294967295 is nobody.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number| *number != u32::MAX)
}

fn find_user(passwd: &str, user: &Account) -> Result<(u32, Option<u32>, Person), StepFailed> {
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields.as_slice() else {
            return None;
        };
        let (uid, gid) = (number(uid)?, number(gid)?);
        let fits = match user {
            Account::Id(id) => *id == uid,
            Account::Name(wanted) => **wanted == **name,
        };
        let text = |field: &str| (!field.is_empty()).then(|| field.to_owned());
        fits.then(|| {
            (
                uid,
                Some(gid),
                Person {
                    name: text(name),
                    home: text(home),
                    shell: text(shell),
                },
            )
        })
    });
    match (entry, user) {
        (Some(entry), _) => Ok(entry),
        // A number needs no entry; its group is then its own number, as systemd has it.
        (None, Account::Id(id)) => Ok((*id, None, Person::default())),
        (None, Account::Name(name)) => Err(StepFailed::new(format!("user {name}"), libc::ESRCH)),
    }
}

fn find_group(groups: &str, group: &Account) -> Result<u32, StepFailed> {
    let name = match group {
        Account::Id(id) => return Ok(*id),
        Account::Name(name) => name,
    };
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| number(fields.nth(1)?)).flatten()
    });
    found.ok_or_else(|| StepFailed::new(format!("group {name}"), libc::ESRCH))
}

fn groups_of(groups: &str, user: &str) -> Vec<u32> {
    let member = |line: &str| {
        let mut fields = line.split(':');
        let gid = fields.nth(2).and_then(number)?;
        fields.next()?.split(',').any(|name| name == user).then_some(gid)
    };
    groups.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n1000:x:0:0::/:/bin/sh\nweb:x:33:33:web:/srv:/bin/false\nbad:x:-1:0::/:\nbig:x:4294967295:0::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlogs:x:50:web,other\nbad:x:0x1:web\n";

    #[test]
    fn users_by_name_and_number() {
        let name = |text: &str| Account::Name(text.into());
        assert_eq!(find_user(PASSWD, &name("web")).unwrap().0, 33);
        assert_eq!(groups_of(GROUP, "web"), [50]);
        assert_eq!(find_group(GROUP, &name("logs")).unwrap(), 50);
        // CVE-2016-3697: a passwd entry whose name is a number does not catch that number.
        assert_eq!(find_user(PASSWD, &Account::Id(1000)).unwrap().0, 1000);
        for bad in ["bad", "big", "nobody-here", ""] {
            assert!(find_user(PASSWD, &name(bad)).is_err(), "{bad}");
        }
        assert!(find_group(GROUP, &name("bad")).is_err());
    }
}
