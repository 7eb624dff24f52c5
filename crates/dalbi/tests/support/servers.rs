//! nginx and Apache httpd, each serving a folder of files.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Process, free_port, peers};

/// A running web server. `hello.txt` and `large.bin` (1 MiB) are there.
pub struct WebServer {
    /// The process.
    pub process: Process,
    address: SocketAddr,
    folder: TempDir,
}

impl WebServer {
    /// nginx with these directives in its `server` block; `listens` is added to its `listen` (`ssl http2`).
    /// `None`: it is not installed, which has been said.
    pub fn nginx(listens: &str, directives: &str) -> Option<Self> {
        let program = peers::program("nginx")?;
        let (folder, address) = prepare();
        let root = folder.path().display();
        // Every path that nginx would take from its build is set to the test's own.
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {root}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nerror_log stderr warn;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n{paths}\
               server {{\n  listen {address} {listens};\n  root {root}/files;\n  {directives}\n  }}\n}}\n"
        );
        let path = write(&folder, "nginx.conf", &config);
        let prefix = root.to_string();
        let arguments = ["-e", "stderr", "-p", &prefix, "-c", &path];
        Some(Self::start(&program, &arguments, address, folder))
    }

    /// Apache httpd with these directives. `None`: it is not installed, which has been said.
    pub fn apache(directives: &str) -> Option<Self> {
        let program = peers::program("apache2")?;
        let modules = PathBuf::from("/usr/lib/apache2/modules");
        let (folder, address) = prepare();
        let root = folder.path().display();
        let load: String = ["mpm_event", "authz_core", "http2"]
            .map(|name| {
                let file = modules.join(format!("mod_{name}.so"));
                format!("LoadModule {name}_module {}\n", file.display())
            })
            .concat();
        let config = format!(
            "ServerRoot {root}\nDefaultRuntimeDir {root}\nPidFile {root}/apache.pid\n{load}\
             Listen {address}\nServerName test\nUser www-data\nGroup www-data\nErrorLog /dev/stderr\n\
             DocumentRoot {root}/files\n<Directory {root}/files>\nRequire all granted\n</Directory>\n\
             {directives}\n"
        );
        let path = write(&folder, "httpd.conf", &config);
        let prefix = root.to_string();
        let arguments = ["-X", "-d", &prefix, "-f", &path];
        Some(Self::start(&program, &arguments, address, folder))
    }

    fn start(program: &Path, arguments: &[&str], address: SocketAddr, folder: TempDir) -> Self {
        let process = peers::serve(program, arguments, address);
        Self {
            process,
            address,
            folder,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join("files").join(name)).unwrap()
    }
}

fn prepare() -> (TempDir, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("hello.txt"), "hello from a file\n").unwrap();
    let large: Vec<u8> = (0..1 << 20)
        .map(|position| (position % 251) as u8)
        .collect();
    fs::write(files.join("large.bin"), large).unwrap();
    // A server that gives up root's rights has to read them, too.
    for path in [folder.path(), &files] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    (folder, address)
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
