//! On which file systems a directory may lie. Over a network neither `flock` nor `fsync` nor an atomic rename can be
//! trusted; everything else may serve, tmpfs and overlayfs included.

use std::io;
use std::path::Path;

/// What lies below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// `statfs`'s `f_type`.
    pub(crate) magic: u64,
    /// The type in the mount table, which alone tells one FUSE file system from another.
    pub(crate) mounted_as: Option<String>,
}

/// `f_type` of the network file systems (`linux/magic.h`, `statfs(2)`).
const NETWORK_MAGIC: [(u64, &str); 13] = [
    (0x6969, "nfs"),
    (0x517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x0000_564C, "ncp"),
    (0x7375_7245, "coda"),
    (0x00C3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x786F_4256, "vboxsf"),
];

const FUSE_MAGIC: u64 = 0x6573_5546;

/// Parts of the FUSE types (`fuse.<type>`) that reach over a network.
const NETWORK_FUSE: [&str; 17] = [
    "sshfs",
    "s3",
    "rclone",
    "gcsfuse",
    "goofys",
    "gluster",
    "juicefs",
    "ceph",
    "davfs",
    "curlftpfs",
    "smb",
    "nfs",
    "blobfuse",
    "seaweed",
    "weed",
    "mfs",
    "lizard",
];

/// The network file system's kind; `None` when it is a local one.
pub(crate) fn network_kind(file_system: &FileSystem) -> Option<String> {
    if let Some((_, kind)) = NETWORK_MAGIC.iter().find(|(magic, _)| *magic == file_system.magic) {
        return Some((*kind).to_owned());
    }
    if file_system.magic != FUSE_MAGIC {
        return None;
    }
    let mounted_as = file_system.mounted_as.as_deref()?;
    let is_network = NETWORK_FUSE.iter().any(|part| mounted_as.contains(part));
    is_network.then(|| mounted_as.to_owned())
}

/// The file system of an existing path.
#[cfg(target_os = "linux")]
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let stat = rustix::fs::statfs(path)?;
    // The field's type differs between targets; the magic numbers have 32 bits on all of them.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let magic = stat.f_type as u64 & 0xFFFF_FFFF;
    let mounted_as = (magic == FUSE_MAGIC)
        .then(|| std::fs::read_to_string("/proc/self/mountinfo").ok())
        .flatten()
        .and_then(|table| mounted_type(&table, path));
    Ok(FileSystem { magic, mounted_as })
}

/// Elsewhere there is no portable answer: the directory is taken as local.
#[cfg(not(target_os = "linux"))]
pub(crate) fn file_system(_path: &Path) -> io::Result<FileSystem> {
    Ok(FileSystem {
        magic: 0,
        mounted_as: None,
    })
}

/// The type of the innermost mount that holds a path, from `/proc/self/mountinfo`.
fn mounted_type(table: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in table.lines() {
        // "36 35 98:0 /root /mount/point options optional... - type source options"
        let (Some(point), Some((_, tail))) = (line.split(' ').nth(4), line.split_once(" - ")) else {
            continue;
        };
        let point = point.replace("\\040", " ");
        let is_inside = path.starts_with(&point);
        // Of equal points the later mount hides the earlier one.
        if is_inside && best.is_none_or(|(length, _)| point.len() >= length) {
            best = tail.split(' ').next().map(|kind| (point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nfs(0x6969, None, Some("nfs"))]
    #[case::cifs(0xFF53_4D42, None, Some("cifs"))]
    #[case::smb2(0xFE53_4D42, None, Some("smb2"))]
    #[case::shared_folder(0x0102_1997, None, Some("9p"))]
    #[case::sshfs(FUSE_MAGIC, Some("fuse.sshfs"), Some("fuse.sshfs"))]
    #[case::bucket(FUSE_MAGIC, Some("fuse.s3fs"), Some("fuse.s3fs"))]
    #[case::local_fuse(FUSE_MAGIC, Some("fuseblk"), None)]
    #[case::unknown_fuse(FUSE_MAGIC, None, None)]
    #[case::ext4(0xEF53, None, None)]
    #[case::xfs(0x5846_5342, None, None)]
    #[case::btrfs(0x9123_683E, None, None)]
    #[case::zfs(0x2FC1_2FC1, None, None)]
    #[case::tmpfs(0x0102_1994, None, None)]
    #[case::overlay(0x794C_7630, None, None)]
    fn network_file_systems(#[case] magic: u64, #[case] mounted_as: Option<&str>, #[case] kind: Option<&str>) {
        let file_system = FileSystem {
            magic,
            mounted_as: mounted_as.map(str::to_owned),
        };
        assert_eq!(network_kind(&file_system).as_deref(), kind);
    }

    #[test]
    fn the_innermost_mount_counts() {
        let table = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                     40 22 0:45 / /mnt/far\\040away rw shared:2 - fuse.sshfs me@host: rw\n\
                     41 22 0:46 / /mnt/far rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mounted_type(table, Path::new("/mnt/far away/data")).as_deref(),
            Some("fuse.sshfs")
        );
        assert_eq!(
            mounted_type(table, Path::new("/mnt/far/data")).as_deref(),
            Some("tmpfs")
        );
        assert_eq!(mounted_type(table, Path::new("/mnt/farther")).as_deref(), Some("ext4"));
    }
}
