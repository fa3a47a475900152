//! `[root]` and `[[mount]]`: the files that a service sees.

use super::*;

#[rustfmt::skip]
pub static ROOT: &[Key] = &[
    key("root", "image", Text, NOTHING, Restart,
        "An image whose layers are the root, by name, such as \"nginx:1.27\"."),
    key("root", "path", Path, Yes, Restart,
        "A directory that is the root, with /proc, /sys and /dev laid into it: those places are ordinary directories, \
         made where they are not there. Users and programs are looked up in it."),
    key("root", "layers", Paths, NOTHING, Restart,
        "Directories that lie over one another as the root, topmost first."),
    key("root", "writable", Word(&["none", "tmpfs", "persistent"]), NOTHING, Restart,
        "Where writes to the root go: nowhere, to a tmpfs that ends with the service, or to a directory that stays."),
    key("root", "size", Size, NOTHING, Restart,
        "The size of the tmpfs that is written to."),
    key("[mount]", "target", Path, Yes, Restart,
        "Where it is mounted, in the service's root: links on the way stay within that, and what is not there is made. \
         Nothing is mounted on or under /proc and /sys."),
    key("[mount]", "source", Text, Yes, Restart,
        "What is mounted there: a path of the machine for `bind`, with all that is mounted below; a device for others."),
    key("[mount]", "type", Text, Yes, Restart,
        "bind (the default), tmpfs, overlay, proc, or another file system of the kernel's, which is then nosuid and nodev."),
    key("[mount]", "read-only", Bool, Yes, Restart,
        "Nothing below it can be written; mounts within it included."),
    key("[mount]", "options", Texts, Yes, Restart,
        "Further options, such as [\"noexec\"]; mount(8)."),
];
