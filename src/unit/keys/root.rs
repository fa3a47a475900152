//! `[root]` and `[[mount]]`: the files that a service sees.

use super::*;

#[rustfmt::skip]
pub static ROOT: &[Key] = &[
    key("root", "image", Text, Restart,
        "An image whose layers are the root, by its name in `svc image list`, such as \"nginx:1.27\". It says how it is run \
         where the unit does not: command, environment, working directory, user and stop signal. Looked up at each start."),
    key("root", "path", Path, Restart,
        "A directory that is the root, with /proc, /sys and /dev laid into it: those places are ordinary directories, \
         made where they are not there. Users and programs are looked up in it."),
    key("root", "layers", Paths, Restart,
        "Directories that lie over one another as the root, topmost first, as overlayfs has it: a character device 0:0 \
         hides what is below it. None of them is written to, and any number of units share them."),
    key("root", "writable", Word(&["none", "tmpfs", "persistent"]), Restart,
        "Where writes to the root go: nowhere, to a tmpfs that ends with the service, which is the default of `layers` and `image`, or \
         to a directory of the unit's below svcd's state directory. Without it, what is written below `path` is written \
         there."),
    key("root", "size", Size, Restart,
        "The size of the tmpfs that is written to; half of the machine's memory by default. What is in it counts as the \
         unit's memory."),
    key("[mount]", "target", Path, Restart,
        "Where it is mounted, in the service's root: links on the way stay within that, and what is not there is made. \
         Nothing is mounted on or under /proc and /sys."),
    key("[mount]", "source", Text, Restart,
        "What is mounted there: a path of the machine for `bind`, with all that is mounted below; a device for others. \
         A link on the way is followed where it is root's, or of the owner of what it leads to."),
    key("[mount]", "type", Text, Restart,
        "bind (the default), tmpfs, overlay, proc, or another file system of the kernel's, which is then nosuid and nodev."),
    key("[mount]", "read-only", Bool, Restart,
        "Nothing below it can be written; mounts within it included."),
    key("[mount]", "options", Texts, Restart,
        "Further options, such as [\"noexec\"]; mount(8)."),
];
