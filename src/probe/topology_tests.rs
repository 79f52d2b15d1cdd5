use super::*;

/// A tree of files; a folder stands for a name that ends with a slash.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = root.path().join(file);
        fs::create_dir_all(if file.ends_with('/') {
            &path
        } else {
            path.parent().unwrap()
        })
        .unwrap();
        if !file.ends_with('/') {
            fs::write(path, text).unwrap();
        }
    }
    root
}

fn machine() -> Machine {
    Machine {
        hypervisor: None,
        ..Machine::detect(vec![])
    }
}

const CPU: &str = "sys/devices/system/cpu";

/// Two cores of two threads each on two sockets.
fn healthy() -> tempfile::TempDir {
    let mut files: Vec<(String, String)> = vec![
        (format!("{CPU}/online"), "0-3".into()),
        (
            "sys/kernel/mm/transparent_hugepage/enabled".into(),
            "always [madvise] never".into(),
        ),
    ];
    for cpu in 0..4 {
        let (package, sibling) = (cpu % 2, (cpu + 2) % 4);
        let folder = format!("{CPU}/cpu{cpu}");
        files.push((format!("{folder}/topology/core_id"), "0".into()));
        files.push((format!("{folder}/topology/physical_package_id"), package.to_string()));
        files.push((
            format!("{folder}/topology/thread_siblings_list"),
            format!("{},{}", cpu.min(sibling), cpu.max(sibling)),
        ));
        files.push((format!("{folder}/node{package}/"), String::new()));
        for (index, kind, level, size) in [
            (0, "Data", 1, "48K"),
            (1, "Instruction", 1, "32K"),
            (2, "Unified", 2, "2M"),
        ] {
            let cache = format!("{folder}/cache/index{index}");
            for (file, text) in [("type", kind), ("level", &level.to_string()), ("size", size)] {
                files.push((format!("{cache}/{file}"), text.to_owned()));
            }
            files.push((format!("{cache}/shared_cpu_list"), format!("{cpu}")));
            files.push((format!("{cache}/coherency_line_size"), "64".into()));
            files.push((format!("{cache}/ways_of_associativity"), "12".into()));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    tree(&files)
}

#[test]
fn sockets_cores_threads_and_caches_are_told() {
    let root = healthy();
    let topology = read_in(root.path(), &[0, 1, 2, 3], &machine());
    assert_eq!(
        (
            topology.online.value,
            topology.sockets.value,
            topology.cores.value,
            topology.nodes.value
        ),
        (Some(4), Some(2), Some(2), Some(2))
    );
    assert_eq!(topology.cpus[0].siblings, [2]);
    assert_eq!(topology.huge_pages.value.as_deref(), Some("madvise"));
    let sizes: Vec<_> = topology
        .caches
        .iter()
        .map(|cache| (cache.level, cache.bytes.value))
        .collect();
    assert_eq!(sizes, [(1, Some(48 << 10)), (2, Some(2 << 20))]);
    assert_eq!(topology.hypervisor.value.as_deref(), Some("none"));
}

#[test]
fn only_usable_cpus_count() {
    let root = healthy();
    let topology = read_in(root.path(), &[3], &machine());
    assert_eq!(
        (topology.sockets.value, topology.cores.value, topology.cpus.len()),
        (Some(1), Some(1), 1)
    );
    assert!(topology.cpus[0].siblings.is_empty(), "its sibling may not be used");
    assert_eq!(
        topology.caches[0].shared_by.value,
        Some(vec![3]),
        "the caches are those of CPU 3"
    );
    // A CPU that sysfs does not have, and none at all.
    let gone = read_in(root.path(), &[0, 77], &machine());
    assert!(gone.cores.value.is_none() && gone.cores.source.contains("core"));
    let none = read_in(root.path(), &[], &machine());
    assert!(none.sockets.value.is_none() && none.caches.is_empty());
}

#[test]
fn damage_is_told_and_never_fatal() {
    let damages = [
        ("cache/index0/size", "0K"),
        ("cache/index0/size", "99999999999999999999G"),
        ("cache/index0/size", "many"),
        ("cache/index0/size", "Kµ"),
        ("cache/index0/shared_cpu_list", "3-1"),
        ("cache/index0/shared_cpu_list", "0-99999999999"),
        ("cache/index0/ways_of_associativity", "-1"),
        ("cache/index0/coherency_line_size", ""),
        ("topology/core_id", "-1"),
        ("topology/physical_package_id", "\u{0}"),
        ("topology/thread_siblings_list", "0,,1"),
    ];
    for (file, text) in damages {
        let root = healthy();
        fs::write(root.path().join(format!("{CPU}/cpu0/{file}")), text).unwrap();
        let topology = read_in(root.path(), &[0, 1, 2, 3], &machine());
        let cache = &topology.caches[0];
        let told = match file.rsplit('/').next().unwrap() {
            "size" => &cache.bytes.source,
            "shared_cpu_list" => &cache.shared_by.source,
            "ways_of_associativity" => &cache.ways.source,
            "coherency_line_size" => &cache.line_bytes.source,
            "core_id" => &topology.cores.source,
            "physical_package_id" => &topology.sockets.source,
            _ => {
                assert!(topology.cpus[0].siblings.is_empty());
                continue;
            }
        };
        assert!(
            told.contains("says") || told.contains("empty") || told.contains("sysfs tells no"),
            "{file} {text:?}: {told}"
        );
    }
    // Kinds and levels that nobody knows leave the cache out; binary files are no text.
    let root = healthy();
    fs::write(root.path().join(format!("{CPU}/cpu0/cache/index0/type")), [0xff, 0xfe]).unwrap();
    fs::write(root.path().join(format!("{CPU}/cpu0/cache/index2/level")), "1000").unwrap();
    assert!(read_in(root.path(), &[0], &machine()).caches.is_empty());
    let nothing = tempfile::tempdir().unwrap();
    let bare = read_in(nothing.path(), &[0, 1], &machine());
    assert!(bare.online.value.is_none() && bare.online.source.contains("sys/devices/system/cpu/online"));
}

#[test]
fn this_machine_is_told() {
    let topology = read(&machine());
    assert_eq!(topology.cpus.len(), pin::allowed().len());
    if cfg!(target_os = "linux") {
        assert_eq!(topology.pinning.value, Some(true), "{}", topology.pinning.source);
        assert!(topology.page_bytes.value.is_some_and(u64::is_power_of_two));
    }
}
