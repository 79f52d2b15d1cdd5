use super::*;
use std::fs;

/// A tree like `/` with the given files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const CPUINFO: &str = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some CPU @ 2.0GHz\nstepping\t: 8\n\
                       flags\t\t: fpu hypervisor avx2\n\nprocessor\t: 1\nmodel\t\t: 7\n";
const CACHE: &str = "sys/devices/system/cpu/cpu0/cache";

fn cache_tree(entries: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let files: Vec<(String, &str)> = entries
        .iter()
        .map(|(i, f, v)| (format!("{CACHE}/index{i}/{f}"), *v))
        .collect();
    tree(
        &files
            .iter()
            .map(|(path, value)| (path.as_str(), *value))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn this_machine_has_a_name_and_cpus() {
    let machine = Machine::detect(vec!["portable".into()]);
    assert!(machine.cores >= 1 && machine.cpus >= 1, "{machine}");
    assert!(!machine.os.is_empty());
    assert_eq!(machine.isas, ["portable"]);
    assert_eq!(machine.id(), Machine::detect(vec!["portable".into()]).id());
}

#[test]
fn a_missing_tree_gives_less_and_does_not_fail() {
    let machine = Machine::detect_in(tree(&[]).path(), vec![]);
    assert!(machine.caches.is_empty());
    assert!(machine.cpus >= 1);
}

#[test]
fn cpuinfo_is_read_for_the_first_cpu() {
    let root = tree(&[("proc/cpuinfo", CPUINFO), ("sys/hypervisor/type", "xen\n")]);
    let machine = Machine::detect_in(root.path(), vec![]);
    assert_eq!(machine.cpu, "Some CPU @ 2.0GHz");
    assert_eq!(machine.family_model_stepping, Some((6, 143, 8)));
    assert_eq!(machine.hypervisor.as_deref(), Some("xen"));
}

#[test]
fn a_hypervisor_needs_a_flag_or_a_telling_product() {
    let metal = CPUINFO.replace("hypervisor ", "");
    let dmi = |cpuinfo: &str, product| {
        let root = tree(&[("proc/cpuinfo", cpuinfo), ("sys/class/dmi/id/product_name", product)]);
        Machine::detect_in(root.path(), vec![]).hypervisor
    };
    assert_eq!(dmi(&metal, "PowerEdge R740"), None);
    assert!(dmi(&metal, "KVM Virtual Machine").is_some());
    assert!(dmi(CPUINFO, "").is_some_and(|name| !name.is_empty()));
}

#[test]
fn caches_are_sorted_and_instruction_caches_left_out() {
    let root = cache_tree(&[
        ("3", "level", "3"),
        ("3", "type", "Unified"),
        ("3", "size", "491520K"),
        ("3", "shared_cpu_list", "0-1,8"),
        ("1", "level", "1"),
        ("1", "type", "Instruction"),
        ("1", "size", "64K"),
        ("0", "level", "1"),
        ("0", "type", "Data"),
        ("0", "size", "48K"),
        ("0", "coherency_line_size", "64"),
        ("0", "ways_of_associativity", "12"),
    ]);
    let found = caches(&root.path().join(CACHE));
    let l1 = Cache {
        level: 1,
        kind: "data".into(),
        bytes: 49152,
        line_bytes: 64,
        ways: Some(12),
        shared_by: None,
    };
    assert_eq!(found[0], l1);
    assert_eq!(
        (found[1].level, found[1].bytes, found[1].shared_by),
        (3, 480 << 20, Some(3))
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn damaged_caches_are_left_out_or_lose_the_damaged_fact() {
    for bad in [
        "",
        "K",
        "-1K",
        "0",
        "12Q",
        "99999999999999999999K",
        "18446744073709551615G",
        "\u{fffd}K",
    ] {
        let root = cache_tree(&[("0", "level", "1"), ("0", "type", "Data"), ("0", "size", bad)]);
        assert_eq!(caches(&root.path().join(CACHE)), [], "size {bad:?}");
    }
    for bad in ["", "3-1", "a", "0,", "0-4294967295,0", "-"] {
        assert_eq!(cpu_list(bad), None, "{bad:?}");
    }
    let root = cache_tree(&[
        ("0", "level", "2"),
        ("0", "type", "Unified"),
        ("0", "size", "1M"),
        ("0", "ways_of_associativity", "0"),
        ("0", "coherency_line_size", "wide"),
        ("1", "level", "none"),
        ("1", "type", "Data"),
        ("1", "size", "1M"),
    ]);
    fs::write(
        root.path().join(CACHE).join("index7"),
        "a file where a folder should be",
    )
    .unwrap();
    fs::write(root.path().join(CACHE).join("index0/shared_cpu_list"), [0xff, 0xfe]).unwrap();
    let l2 = Cache {
        level: 2,
        kind: "unified".into(),
        bytes: 1 << 20,
        line_bytes: 0,
        ways: None,
        shared_by: None,
    };
    assert_eq!(caches(&root.path().join(CACHE)), [l2]);
}

#[test]
fn the_id_ignores_affinity_and_a_little_memory() {
    let machine = Machine::detect(vec![]);
    let mut other = machine.clone();
    other.cpus += 1;
    other.memory_bytes = ((machine.memory_bytes >> 30) << 30) + (1 << 20);
    let mut same_memory = other.clone();
    same_memory.memory_bytes += 1 << 20;
    assert_eq!(other.id(), same_memory.id());
    assert_eq!(machine.id().len(), 12);
    let mut newer = machine.clone();
    newer.os.push('1');
    assert_ne!(machine.id(), newer.id());
    let pinned = Machine {
        cpus: machine.cpus + 3,
        ..machine.clone()
    };
    assert_eq!(machine.id(), pinned.id());
}
