//! Servers of several processes: those that give privileges up, start programs and hand connections over.

use super::Site;
use pith_end_to_end::guest::Recipe;
use pith_end_to_end::http::Connection;
use pith_end_to_end::namespace::run;
use std::net::SocketAddr;

/// Users of the machines.
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
    sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// Puts the users into a machine.
fn with_users(site: &Site<'_>, recipe: Recipe) -> Result<Recipe, String> {
    let (users, groups) = (site.write("passwd", USERS)?, site.write("group", GROUPS)?);
    Ok(recipe
        .file(format!("{users}:/etc/passwd"))
        .file(format!("{groups}:/etc/group")))
}

/// Whether a page is what it should be.
fn shows(address: SocketAddr, path: &str, expected: &str) -> Result<(), String> {
    let page = Connection::open(address)?.get(path)?;
    let page = String::from_utf8_lossy(&page);
    match page == expected {
        true => Ok(()),
        false => Err(format!("{path} shows {page:?}")),
    }
}

/// Apache with processes of several threads, and programs that another process starts (`mod_cgid`).
pub fn apache(site: &Site<'_>) -> Result<(), String> {
    let modules = ["mpm_event", "authz_core", "alias", "cgid"];
    let mut configuration = String::from(
        "ServerRoot /tmp\nServerName localhost\nListen 80\nPidFile /tmp/httpd.pid\nErrorLog /dev/stderr\n\
         User www-data\nGroup www-data\nDocumentRoot /srv\nScriptAlias /programs/ /programs/\n",
    );
    for module in modules {
        configuration +=
            &format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n");
    }
    configuration += "ScriptSock /tmp/programs.socket\nStartServers 1\nThreadsPerChild 4\nServerLimit 4\n\
         MaxRequestWorkers 16\nMinSpareThreads 4\nMaxSpareThreads 8\n";
    let configuration = site.write("apache2.conf", configuration)?;
    let page = site.write("page.txt", "a page\n")?;
    let program = site.write(
        "who",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nread body\nid -un\necho \"$REQUEST_METHOD $body\"\n",
    )?;
    run("chmod", &["755", &program])?;
    let recipe = Recipe::new(
        &[
            "/usr/sbin/apache2",
            "-f",
            "/apache2.conf",
            "-D",
            "FOREGROUND",
        ],
        80,
    )
    .options(&["-m", "256M"])
    .file(format!("{configuration}:/apache2.conf"))
    .file(format!("{page}:/srv/page.txt"))
    // Brings its shell and the command that it starts.
    .file(format!("{program}:/programs/who"))
    .message("^pith: note: shell: took the commands id$")
    .status(&[0]);
    let recipe = modules.iter().fold(recipe, |recipe, module| {
        recipe.file(format!("/usr/lib/apache2/modules/mod_{module}.so"))
    });
    let ready = |guest: &pith_end_to_end::guest::Guest| {
        shows(guest.first_address(), "/page.txt", "a page\n")
    };
    site.serve(&with_users(site, recipe)?, ready, |guest| {
        let address = guest.first_address();
        for body in ["one\n", "two\n"] {
            let answer =
                Connection::open(address)?.ask("POST", "/programs/who", body.as_bytes())?;
            if answer.body != format!("www-data\nPOST {body}").as_bytes() {
                return Err(format!(
                    "the program answers {:?}",
                    String::from_utf8_lossy(&answer.body)
                ));
            }
        }
        match Connection::open(address)?
            .ask("GET", "/nothing", b"")?
            .status
        {
            404 => Ok(()),
            status => Err(format!("a page that does not exist: {status}")),
        }
    })?;
    Ok(())
}

/// OpenSSH: a login with a terminal, and a file that is fetched.
pub fn sshd(site: &Site<'_>) -> Result<(), String> {
    let [own, host] = ["own", "host"].map(|name| site.directory().join(name).display().to_string());
    for key in [&own, &host] {
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key])?;
    }
    let configuration = site.write(
        "sshd_config",
        "HostKey /etc/ssh/host\nAuthorizedKeysFile /etc/ssh/keys\nUsePAM no\nStrictModes no\nPidFile none\n\
         PermitRootLogin yes\nPrintLastLog no\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
    )?;
    // Where it locks its helper without privileges in.
    let empty = site.directory().join("empty");
    std::fs::create_dir(&empty).map_err(|error| error.to_string())?;
    let recipe = Recipe::new(&["/usr/sbin/sshd", "-D", "-e"], 22)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/etc/ssh/sshd_config"))
        .file(format!("{host}:/etc/ssh/host"))
        .file(format!("{own}.pub:/etc/ssh/keys"))
        .file(format!("{}:/run/sshd", empty.display()))
        .file(format!("{}:/var/log/lastlog", site.write("lastlog", "")?))
        .file("/bin/sh")
        .file("/usr/bin/tty")
        .file("/usr/bin/id")
        .file("/usr/lib/openssh/sftp-server")
        .message("^pith: warning: netlink: netlink has no protocol 9")
        .message("^pith: note: the program looked for what this machine has")
        .status(&[0]);
    let client = |program: &str, address: SocketAddr, port: &str, more: &[&str]| {
        let port = format!("{port}{}", address.port());
        let options = [
            "-F",
            "none",
            "-i",
            &own,
            &port,
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "BatchMode=yes",
        ];
        run(program, &[&options[..], more].concat())
    };
    let ready = |guest: &pith_end_to_end::guest::Guest| {
        client(
            "ssh",
            guest.first_address(),
            "-p",
            &["root@127.0.0.1", "true"],
        )
        .map(|_| ())
    };
    site.serve(&with_users(site, recipe)?, ready, |guest| {
        let address = guest.first_address();
        let told = client(
            "ssh",
            address,
            "-p",
            &["-tt", "root@127.0.0.1", "tty; id -un; echo $HOME"],
        )?;
        if told != "/dev/pts/0\r\nroot\r\n/root\r\n" {
            return Err(format!("a login says {told:?}"));
        }
        let copy = site.directory().join("copy").display().to_string();
        client("scp", address, "-P", &["root@127.0.0.1:/etc/passwd", &copy])?;
        match std::fs::read_to_string(&copy) {
            Ok(text) if text == USERS => Ok(()),
            other => Err(format!("it was fetched as {other:?}")),
        }
    })?;
    Ok(())
}

/// PHP's processes behind nginx with its own, which speak over a socket of the machine.
pub fn php_fpm(site: &Site<'_>) -> Result<(), String> {
    let web = site.write(
        "nginx.conf",
        "user www-data;\ndaemon off;\nworker_processes 2;\npid /tmp/nginx.pid;\nerror_log stderr warn;\n\
         events { worker_connections 64; }\n\
         http { access_log off; server { listen 80; location / {\n\
         include /etc/nginx/fastcgi_params;\nfastcgi_param SCRIPT_FILENAME /srv$fastcgi_script_name;\n\
         fastcgi_pass unix:/tmp/fpm.socket; } } }\n",
    )?;
    let php = site.write(
        "fpm.conf",
        "[global]\nerror_log = /dev/stderr\nlog_level = warning\n[www]\nuser = www-data\ngroup = www-data\n\
         listen = /tmp/fpm.socket\nlisten.owner = www-data\npm = static\npm.max_children = 2\n",
    )?;
    let page = site.write(
        "page.php",
        "<?php session_save_path('/tmp'); session_start(); \
         echo fileowner('/tmp/sess_' . session_id()), ' ', $_SERVER['REQUEST_URI'], ' ', strlen(session_id()), \"\\n\";",
    )?;
    let command = "php-fpm8.2 -n -F -y /fpm.conf & exec nginx -c /nginx.conf";
    let recipe = Recipe::new(&["/bin/sh", "-c", command], 80)
        .options(&["-m", "256M"])
        .file(format!("{web}:/nginx.conf"))
        .file(format!("{php}:/fpm.conf"))
        .file(format!("{page}:/srv/page.php"))
        .file("/etc/nginx/fastcgi_params")
        .file("/usr/sbin/nginx")
        .file("/usr/sbin/php-fpm8.2")
        .file("/var/lib/nginx")
        .file("/var/log/nginx")
        .message("^pith: note: shell: took")
        .status(&[0]);
    let page = |address| shows(address, "/page.php?a", "33 /page.php?a 32\n");
    site.serve(
        &with_users(site, recipe)?,
        |guest| page(guest.first_address()),
        |guest| (0..10).try_for_each(|_| page(guest.first_address())),
    )?;
    Ok(())
}
