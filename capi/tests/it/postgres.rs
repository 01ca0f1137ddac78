//! Runs PostgreSQL's uuid-ossp with the library, on a server that the scenario starts.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fork_safe_uuid::Uuid;

use crate::library;
use crate::programs;

support::scenarios![backends_of_postgresql_repeat_nothing {
    possible: has_postgresql,
    seconds: 120
}];

const BACKENDS: usize = 6;
const ROWS: usize = 20_000;

/// Returns the folder of the server's programs, which Debian does not put into `PATH`.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut paths = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    paths.find(|path| path.join("postgres").exists())
}

/// Returns whether a PostgreSQL server is installed.
fn has_postgresql() -> bool {
    binaries().is_some() || programs::is_missing("postgresql")
}

/// A server that is stopped when this value is dropped.
struct Server {
    directory: tempfile::TempDir,
    /// The user and group of the server, if the scenario is root: it refuses to run as root.
    user: Option<(u32, u32)>,
    process: Option<Child>,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self {
            directory,
            user: None,
            process: None,
        };
        // SAFETY: the call returns a number.
        if unsafe { libc::geteuid() } == 0 {
            let id = |which| {
                let printed = library::printed(Command::new("id").args([which, "postgres"]));
                printed.trim().parse().expect("a number")
            };
            let (user, group) = (id("-u"), id("-g"));
            chown(server.directory.path(), Some(user), Some(group)).expect("root");
            server.user = Some((user, group));
        }
        // The server's user may not be able to read the library's own folder.
        fs::copy(library::ours(), server.library()).expect("a copy");
        fs::set_permissions(server.library(), fs::Permissions::from_mode(0o755)).expect("a file");
        library::run(server.command("initdb").args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-D",
            "data",
        ]));
        let mut postgres = server.command("postgres");
        postgres
            .env("LD_PRELOAD", server.library())
            .args(["-D", "data", "-c", "listen_addresses=", "-k"])
            .arg(server.directory.path())
            // The server loads it before it forks the backends.
            .args(["-c", "shared_preload_libraries=uuid-ossp"])
            .stderr(File::create(server.directory.path().join("log")).expect("a file"));
        server.process = Some(postgres.spawn().expect("postgres"));
        let ready = |server: &Self| {
            let mut ask = server.query("SELECT 1");
            ask.stdout(Stdio::null()).status().expect("psql").success()
        };
        while !ready(&server) {
            let log = fs::read_to_string(server.directory.path().join("log")).expect("a file");
            let process = server.process.as_mut().expect("started");
            assert!(process.try_wait().expect("a child").is_none(), "{log}");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libuuid.so.1")
    }

    fn command(&self, program: &str) -> Command {
        let path = binaries().unwrap_or_default().join(program);
        assert!(path.exists(), "{}", path.display());
        let mut command = Command::new(path);
        command.current_dir(self.directory.path());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn query(&self, sql: &str) -> Command {
        let mut command = self.command("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-U", "postgres", "-h"])
            .arg(self.directory.path());
        command.args(["-v", "ON_ERROR_STOP=1", "-c", sql]);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.as_mut().expect("started");
        // SAFETY: the id is that of the server, which SIGINT shuts down.
        unsafe { libc::kill(process.id() as i32, libc::SIGINT) };
        let _ = process.wait();
    }
}

fn backends_of_postgresql_repeat_nothing() {
    let server = Server::start();
    library::run(&mut server.query("CREATE EXTENSION \"uuid-ossp\""));
    let loaded = library::printed(&mut server.query(
        "SELECT line FROM regexp_split_to_table(pg_read_file('/proc/self/maps'), '\n') line \
         WHERE line LIKE '%libuuid%'",
    ));
    let ours = server.library();
    assert!(!loaded.is_empty());
    assert!(
        loaded
            .lines()
            .all(|line| Path::new(line.rsplit(' ').next().expect("a path")) == ours),
        "{loaded}"
    );

    let sql = format!(
        "COPY (SELECT uuid_generate_v4(), uuid_generate_v1(), uuid_generate_v1mc(), \
         uuid_generate_v5(uuid_ns_dns(), 'www.example.com'), \
         uuid_generate_v3(uuid_ns_dns(), 'www.example.com') \
         FROM generate_series(1, {ROWS})) TO STDOUT"
    );
    let backends: Vec<Child> = (0..BACKENDS)
        .map(|_| {
            server
                .query(&sql)
                .stdout(Stdio::piped())
                .spawn()
                .expect("psql")
        })
        .collect();
    let tables = thread::scope(|scope| {
        let outputs: Vec<_> = backends
            .into_iter()
            .map(|backend| scope.spawn(|| backend.wait_with_output().expect("psql")))
            .collect();
        outputs
            .into_iter()
            .map(|output| output.join().expect("a thread"))
            .collect::<Vec<_>>()
    });

    let (mut seen, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for table in tables {
        assert!(table.status.success());
        for row in str::from_utf8(&table.stdout).expect("UTF-8").lines() {
            let ids: Vec<Uuid> = row
                .split('\t')
                .map(|id| id.parse().expect("a UUID"))
                .collect();
            for (&id, version) in ids.iter().zip([4, 1, 1]) {
                assert_eq!(id.get_version_num(), version, "{id}");
                assert!(seen.insert(id), "{id} twice");
            }
            nodes.insert(ids[1].get_node_id());
            assert_eq!(ids[3].to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
            assert_eq!(ids[4].to_string(), "5df41881-3aed-3515-88a7-2f4a814cf09e");
        }
    }
    assert_eq!(seen.len(), 3 * BACKENDS * ROWS);
    // libuuid would use the MAC address in all of them, and rely on a lock on a file that
    // this user may not open.
    assert_eq!(nodes.len(), BACKENDS, "each backend has another node");
}
