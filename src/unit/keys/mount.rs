//! `[mount]`: a unit that is a mounted file system.

use super::*;

#[rustfmt::skip]
pub static MOUNT: &[Key] = &[
    key("mount", "what", Text, Restart,
        "The device, or what else the file system takes for it: for bind, the path to be seen in a second place."),
    key("mount", "where", Path, Restart,
        "The place it is mounted on; a directory is made where there is none."),
    key("mount", "type", Text, Restart,
        "The file system, such as ext4, tmpfs or bind; absent: what the device says it holds."),
    key("mount", "options", Texts, Restart,
        "Further options, such as [\"noatime\"]; mount(8)."),
];
