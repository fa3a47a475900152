//! `[resources]`: limits of a unit's cgroup, in one vocabulary for v1 and v2.

use super::Resource as R;
use super::*;

#[rustfmt::skip]
pub static RESOURCES: &[Key] = &[
    key("resources", "slice", Name, Restart,
        "The slice whose cgroup it sits in; by default directly under svcd's own."),
    key("resources", "cpu-quota", Percent, Live,
        "CPU time in each period, in percent of one CPU: \"250%\" is two and a half; cpu.max of cgroup v2, \
         cpu.cfs_quota_us of v1."),
    key("resources", "cpu-period", Duration, Live,
        "The period that the quota is measured over, 1ms to 1s; shorter is smoother and costs more."),
    key("resources", "cpu-weight", Whole(1, 10_000), Live,
        "Its share where CPUs are contended, beside its siblings; the kernel's default is 100; cpu.weight, \
         cpu.shares."),
    key("resources", "cpuset-cpus", Resource(R::Numbers), Live,
        "The CPUs that the unit may use, such as \"0-1,4\"; cpuset.cpus."),
    key("resources", "cpuset-mems", Resource(R::Numbers), Live,
        "The memory nodes that the unit may use; cpuset.mems."),
    key("resources", "memory-min", Size, Live,
        "Memory below this is never reclaimed; memory.min."),
    key("resources", "memory-low", Size, Live,
        "Memory below this is reclaimed last; memory.low."),
    key("resources", "memory-high", Size, Live,
        "Above this the unit is throttled and its memory reclaimed; memory.high."),
    key("resources", "memory-max", Size, Live,
        "Above this the OOM killer comes; memory.max, memory.limit_in_bytes."),
    key("resources", "memory-swap-max", Size, Live,
        "How much of its memory may be in swap; memory.swap.max, memory.memsw.limit_in_bytes."),
    key("resources", "oom-policy", Word(&["kill", "stop", "continue"]), Live,
        "When the kernel kills one process of the unit for want of memory: kill the rest of it, stop it in order, or \
         go on unless it was the main process."),
    key("resources", "pids-max", Whole(1, i64::MAX), Live,
        "How many tasks, that is processes and threads, there may be at once; pids.max."),
    key("resources", "io-weight", Whole(1, 10_000), Live,
        "Its share where a disk is contended, beside its siblings; the kernel's default is 100; io.weight, \
         blkio.bfq.weight."),
    key("resources", "io-max", Resource(R::IoMax), Live,
        "Limits for each device, such as [{ device = \"/dev/vda\", rbps = \"10M\", wiops = 100 }]: bytes (rbps, wbps) \
         and operations (riops, wiops) a second; io.max, blkio.throttle.*."),
    key("resources", "devices", Resource(R::Devices), Live,
        "The devices that may be opened, such as [\"/dev/null rw\", \"char-pts rw\", \"b 8:* r\"]; absent: those of \
         the profile."),
    key("resources", "hugetlb-max", Resource(R::HugetlbMax), Live,
        "Huge pages of each size, such as { \"2MB\" = \"4M\" }; hugetlb.SIZE.max."),
    key("resources", "rdma-max", Resource(R::RdmaMax), Live,
        "Handles and objects of each device, such as { mlx5_0 = { hca-handle = 2 } }; rdma.max."),
    key("resources", "misc-max", Resource(R::MiscMax), Live,
        "Scalar resources of the kernel by name; misc.max."),
    key("resources", "net-classid", Resource(R::ClassId), Live,
        "The class of its packets, \"MAJOR:MINOR\" in hexadecimal as tc(8) writes it; net_cls.classid. On v2 it is their \
         priority, which tc(8) and nft(8) classify by."),
    key("resources", "net-priority", Resource(R::Priorities), Live,
        "The priority of its packets for each interface, such as { eth0 = 5 }, where their socket sets none; \
         net_prio.ifpriomap. On v2 it cannot be had beside net-classid."),
    key("resources", "delegate", Bool, Restart,
        "The service manages the groups below its own, which are its user's and can be written in its view; limits of the \
         unit stay as they are. On v1 without those of blkio, net_cls and net_prio; systemd.resource-control(5)."),
];
