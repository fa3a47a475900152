//! `[mount]`: a unit that is a mounted file system.

use super::*;

#[rustfmt::skip]
pub static MOUNT: &[Key] = &[
    key("mount", "what", Text, Yes, Restart,
        "The device, or what else the file system takes for it: for bind, the path to be seen in a second place."),
    key("mount", "where", Path, Yes, Restart,
        "The place it is mounted on; a directory is made where there is none."),
    key("mount", "type", Text, Yes, Restart,
        "The file system, such as ext4, tmpfs or bind; absent: what the device says it holds."),
    key("mount", "options", Texts, Yes, Restart,
        "Further options, such as [\"noatime\"]; mount(8)."),
];
