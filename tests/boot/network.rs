//! A machine's own links: by its settings, by the kernel's command line, by DHCP.

use super::machine::{Machine, repository, stripped};

const SCRIPT: &str = r#"
/usr/bin/svc start network-online 2>&1
echo "ready=$?"
echo "address=$(ip -4 -o addr show dev eth0 | awk '{ print $4 }')"
echo "route=$(ip route show default | awk '{ print $3, $5 }')"
echo "dns=$(awk '/nameserver/ { print $2; exit }' /etc/resolv.conf)"
"#;

fn machine(test: &str) -> Option<Machine> {
    let mut machine = Machine::new(test, SCRIPT)?
        .modules(&["virtio_pci", "virtio_net"])
        .network();
    machine
        .tree()
        .program("/usr/bin/svc", stripped(env!("CARGO_BIN_EXE_svc")));
    for name in ["network", "network-online", "dhcp@"] {
        let unit = repository().join(format!("units/{name}.toml"));
        machine
            .tree()
            .file(&format!("/usr/lib/svc/units/{name}.toml"), std::fs::read(unit).unwrap());
    }
    Some(machine)
}

const MODULES: &str = "[boot]\nmodules = [\"virtio_pci\", \"virtio_net\"]\n";

#[test]
fn links_have_the_addresses_of_the_settings() {
    let Some(mut machine) = machine("links_have_the_addresses_of_the_settings") else {
        return;
    };
    let links = "[network.links.eth0]\naddress = [\"10.0.2.77/24\"]\ngateway = [\"10.0.2.2\"]\n";
    machine.tree().file("/etc/svc/svcd.toml", format!("{MODULES}{links}"));
    let console = machine.line("net.ifnames=0").boot();
    console.says("ready=0");
    assert_eq!(console.value("address"), "10.0.2.77/24");
    assert_eq!(console.value("route"), "10.0.2.2 eth0");
}

#[test]
fn links_have_the_address_of_the_kernels_command_line() {
    let Some(mut machine) = machine("links_have_the_address_of_the_kernels_command_line") else {
        return;
    };
    machine.tree().file("/etc/svc/svcd.toml", MODULES);
    let machine = machine.line("net.ifnames=0 ip=10.0.2.78::10.0.2.2:255.255.255.0:edge:eth0:off:10.0.2.3");
    let console = machine.boot();
    assert_eq!(console.value("address"), "10.0.2.78/24");
    assert_eq!(console.value("route"), "10.0.2.2 eth0");
    assert_eq!(console.value("dns"), "10.0.2.3");
}

#[test]
fn links_ask_by_dhcp() {
    let Some(mut machine) = machine("links_ask_by_dhcp") else {
        return;
    };
    machine.tree().file("/etc/svc/svcd.toml", MODULES);
    let console = machine.line("net.ifnames=0 ip=dhcp").boot();
    console.says("ready=0");
    assert_eq!(console.value("address"), "10.0.2.15/24");
    assert_eq!(console.value("route"), "10.0.2.2 eth0");
    assert_eq!(console.value("dns"), "10.0.2.3");
}
