// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a `semitrusted` run reaches through the gateway, and what nothing gets it to reach. No test
//! leaves loopback: where the public Internet is meant, a resolver and a mirror stand in for it.

mod common;
mod mirror;

use common::*;
use mirror::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_engine::{EgressOptions, Engine};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{Backend, ErrorCode, ExecutionResult, Request, Submission};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn semitrusted(language: &str, code: impl Into<String>) -> Request {
    Request::new(language, code.into()).network_mode("semitrusted").ttl(60)
}

fn run(engine: &Engine, language: &str, code: impl Into<String>) -> ExecutionResult {
    execute_on(engine, semitrusted(language, code)).expect("it gives a result")
}

/// Python that speaks to both proxies itself, without a library that would mend what is wrong.
const RAW: &str = r#"
import socket, struct, sys
def talk(port, *parts):
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.settimeout(30)
    reply = b""
    try:
        for part in parts:
            s.sendall(part)
            if len(parts) > 1: reply = s.recv(4096)
        s.shutdown(socket.SHUT_WR)
        while True:
            more = s.recv(65536)
            if not more: break
            reply += more
    except OSError as error:
        reply += b"<" + str(error).encode() + b">"
    return reply
def connect(host, port):
    return talk(3128, b"CONNECT " + host + b":%d HTTP/1.1\r\n\r\n" % port)
def absolute(host, port):
    return talk(3128, b"GET http://" + host + b":%d/ HTTP/1.1\r\n\r\n" % port)
def socks(kind, address, port, rest=b""):
    return talk(1080, b"\5\1\0", b"\5\1\0" + bytes([kind]) + address + struct.pack(">H", port), *([rest] if rest else []))
def socks_name(name, port, rest=b""):
    return socks(3, bytes([len(name)]) + name, port, rest)
"#;

#[test]
fn the_usual_clients_work_unchanged() {
    if lacks(&["curl"]) {
        return;
    }
    let mirror = Mirror::start();
    mirror.put("/hello", "hello\n");
    let (engine, url) = (mirror.engine(), mirror.url());
    let code = format!(
        "import urllib.request as r\nprint(r.urlopen('{url}/hello').read())\n\
         print(r.urlopen('{url}/echo', data=b'x'*100000).read() == b'x'*100000)"
    );
    let result = run(&engine, "python", code);
    assert_eq!(result.stdout_text(), "b'hello\\n'\nTrue\n", "{}", result.stderr_text());
    assert_eq!((result.error, result.network_mode.as_deref()), (None, Some("semitrusted")));
    // Plain, through a tunnel, chunked, both over one connection of curl's, and by SOCKS with a remote name.
    let code = format!(
        "set -e; curl -sS {url}/hello; curl -sSp {url}/hello; curl -sS {url}/hello {url}/hello\n\
         curl -sS -d body {url}/echo; curl -sS -x $socks_proxy {url}/hello"
    );
    let result = run(&engine, "bash", code);
    assert_eq!(
        result.stdout_text(),
        "hello\nhello\nhello\nhello\nbodyhello\n",
        "{}",
        result.stderr_text()
    );
    let heads = mirror.heads();
    assert!(heads.iter().all(|head| head.contains(&format!("Host: {NAME}:"))), "{heads:?}");
    assert!(heads.iter().all(|head| !head.to_lowercase().contains("proxy")), "{heads:?}");
}

#[test]
fn git_clones() {
    if lacks(&["git"]) {
        return;
    }
    let mirror = Mirror::start();
    let folder = scratch("git");
    let script = "set -e; cd \"$1\"; export HOME=$1; git init -q a; cd a; echo text > file; git add .; \
                  git -c user.name=a -c user.email=a@b.c commit -qm m; cd ..; git clone -q --bare a a.git; \
                  cd a.git; git update-server-info";
    host_bash(script, &folder);
    mirror.put_folder("/a.git", folder.join("a.git"));
    let code = format!("git clone -q {}/a.git && cat a/file", mirror.url());
    let result = run(&mirror.engine(), "bash", code);
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(result.stdout_text(), "text\n", "{}", result.stderr_text());
}

#[test]
fn pip_installs() {
    if lacks(&["pip3"]) {
        return;
    }
    let mirror = Mirror::start();
    let folder = scratch("pip");
    let script = "set -e; cd \"$1\"; /usr/bin/python3 -c \"\n\
                  import zipfile\n\
                  z = zipfile.ZipFile('thing-1.0-py3-none-any.whl', 'w')\n\
                  z.writestr('thing.py', 'WORD = 42')\n\
                  d = 'thing-1.0.dist-info/'\n\
                  z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n')\n\
                  z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                  z.writestr(d + 'RECORD', '')\n\
                  z.close()\"";
    host_bash(script, &folder);
    mirror.put_folder("/files", folder.clone());
    let link = "<a href='/files/thing-1.0-py3-none-any.whl'>thing-1.0-py3-none-any.whl</a>";
    mirror.put("/simple/thing/", link);
    let code = format!(
        "/usr/bin/python3 -m pip install -q --disable-pip-version-check --target /tmp/there \
         --index-url {}/simple --trusted-host {NAME} thing && \
         PYTHONPATH=/tmp/there /usr/bin/python3 -c 'import thing; print(thing.WORD)'",
        mirror.url()
    );
    let result = run(&mirror.engine(), "bash", code);
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(result.stdout_text(), "42\n", "{}", result.stderr_text());
}

#[test]
fn npm_installs() {
    if lacks(&["npm", "tar"]) {
        return;
    }
    let mirror = Mirror::start();
    let folder = scratch("npm");
    let script = "set -e; cd \"$1\"; mkdir package; echo 'module.exports = 42' > package/index.js; \
                  echo '{\"name\":\"thing\",\"version\":\"1.0.0\"}' > package/package.json; \
                  tar czf thing.tgz package";
    host_bash(script, &folder);
    mirror.put("/thing.tgz", std::fs::read(folder.join("thing.tgz")).unwrap());
    let url = mirror.url();
    let about = format!(
        "{{\"name\":\"thing\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":\
         {{\"name\":\"thing\",\"version\":\"1.0.0\",\"dist\":{{\"tarball\":\"{url}/thing.tgz\"}}}}}}}}"
    );
    mirror.put("/thing", about);
    let code = format!(
        "npm install --silent --no-audit --no-fund --registry {url} thing >/dev/null && \
         node -p 'require(\"thing\")'"
    );
    let result = run(&mirror.engine(), "bash", code);
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(result.stdout_text(), "42\n", "{}", result.stderr_text());
}

#[test]
fn go_fetches() {
    let mirror = Mirror::start();
    mirror.put("/hello", "hello\n");
    let code = format!(
        "package main\nimport (\"io\"; \"net/http\"; \"os\")\nfunc main() {{\n\
         r, e := http.Get(\"{}/hello\"); if e != nil {{ panic(e) }}\nio.Copy(os.Stdout, r.Body) }}",
        mirror.url()
    );
    let engine = mirror.engine();
    let go = Submission::validated(semitrusted("go", code)).unwrap();
    let result = match engine.execute(go, Arc::new(NoSink)) {
        Err(error) if error.code() == ErrorCode::LanguageUnavailable => {
            return skip("go is not installed");
        }
        result => result.expect("it gives a result"),
    };
    assert_eq!(result.stdout_text(), "hello\n", "{}", result.stderr_text());
}

#[test]
fn socks_takes_names_and_addresses() {
    let mirror = Mirror::start();
    mirror.put("/hello", "hello\n");
    let port = mirror.address.port();
    let code = format!(
        "{RAW}\nget = b'GET /hello HTTP/1.0\\r\\n\\r\\n'\n\
         print(socks_name(b'{NAME}', {port}, get)[-6:])\n\
         print(socks(1, bytes([127,0,0,1]), {port}, get)[-6:])\n\
         print(socks(4, bytes(10)+b'\\xff\\xff\\x7f\\0\\0\\1', {port}, get)[-6:])\n\
         print(talk(1080, b'\\5\\1\\2'))\n\
         print(talk(1080, b'\\5\\1\\0', b'\\5\\2\\0\\1\\x7f\\0\\0\\1\\0\\x50')[:2])\n\
         print(talk(1080, b'\\5\\1\\0', b'\\5\\1\\0\\7')[:2])\n\
         print(talk(1080, b'GET / HTTP/1.1\\r\\n\\r\\n'))"
    );
    let result = run(&mirror.engine(), "python", code);
    let expected =
        "b'hello\\n'\nb'hello\\n'\nb'hello\\n'\nb'\\x05\\xff'\nb'\\x05\\x07'\nb'\\x05\\x08'\nb''\n";
    let text = result.stdout_text().replace("b'<[Errno 104] Connection reset by peer>'", "b''");
    assert_eq!(text, expected, "{}", result.stderr_text());
}

/// Ways to write the machine's own address.
const SPELLINGS_OF_THIS_MACHINE: [&str; 29] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "0x7f.1",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "loopback.example",
    "mapped.example",
    "cname.example",
    "both.example",
    "inside@127.0.0.1",
    "127.0.0.1%00.example",
    "[::1%25lo]",
];

#[test]
fn the_machine_itself_is_not_reached_by_any_spelling() {
    let canary = Canary::start();
    assert!(canary.is_alive());
    let mut hosts = SPELLINGS_OF_THIS_MACHINE.map(str::to_string).to_vec();
    for own in own_addresses() {
        hosts.push(if own.is_ipv4() { own.to_string() } else { format!("[{own}]") });
    }
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let names = Names::new(&[
        ("loopback.example", &[&[LOOPBACK]]),
        ("mapped.example", &[&[address("::ffff:127.0.0.1")]]),
        ("cname.example", &[&[address("10.0.0.1"), address("fd00::1")]]),
        ("both.example", &[&[address("::1"), address("0.0.0.0"), LOOPBACK]]),
    ]);
    let engine = engine_with(EgressOptions { resolver: Some(names), ..EgressOptions::default() });
    let list = hosts.iter().map(|host| format!("b{host:?},")).collect::<String>();
    let port = canary.port;
    let code = format!(
        "{RAW}\nfor host in [{list}]:\n  for reply in (connect(host, {port}), absolute(host, {port})):\n    \
         if b' 403 ' not in reply.splitlines()[0]: print(host, reply)\n  \
         if socks_name(host, {port})[1] != 2: print('socks', host)\n\
         for kind, a in ((1, b'\\x7f\\0\\0\\1'), (1, bytes(4)), (4, bytes(15)+b'\\1'), (4, bytes(16)), \
         (4, bytes(10)+b'\\xff\\xff\\x7f\\0\\0\\1')):\n  \
         if socks(kind, a, {port})[1] != 2: print('socks', kind, a)\nprint('end')"
    );
    let result = run(&engine, "python", code);
    assert_eq!(result.stdout_text(), "end\n", "{}", result.stderr_text());
    assert!(!canary.was_reached(), "somebody came through");
    let error = result.error.expect("what was refused is told");
    assert!(error.contains("egress refused: 127.0.0.1:") && error.contains("loopback"), "{error}");
    assert!(
        error.contains("egress refused ") && error.ends_with(" further connections"),
        "{error}"
    );
    assert!(error.len() < 2000, "{error}");
}

#[test]
fn inner_networks_and_metadata_are_refused() {
    let engine =
        engine_with(EgressOptions { resolver: Some(Names::new(&[])), ..EgressOptions::default() });
    let code = format!(
        "{RAW}\nfor host in '''10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 2852039166 0xa9fea9fe \
         0251.0376.0251.0376 100.100.100.200 168.63.129.16 224.0.0.1 255.255.255.255 240.0.0.1 198.18.0.1 \
         192.0.0.1 192.0.2.1 [fd00:ec2::254] [fe80::1] [fc00::1] [ff02::1] [::ffff:169.254.169.254] \
         [2001:db8::1] [64:ff9b::a00:1] metadata.google.internal Metadata.Google.Internal. \
         printer.local'''.split():\n  host = host.encode()\n  \
         for reply in connect(host, 80), absolute(host, 80):\n    \
         if not reply.startswith(b'HTTP/1.1 403 '): print(host, reply)\n  \
         if socks_name(host, 80)[1] != 2: print('socks', host)\nprint('end')"
    );
    let result = run(&engine, "python", code);
    assert_eq!(result.stdout_text(), "end\n", "{}", result.stderr_text());
}

#[test]
fn an_answer_that_changes_changes_nothing() {
    if lacks(&["curl"]) {
        return;
    }
    let mirror = Mirror::start();
    mirror.put("/", "mirror\n");
    let port = mirror.address.port();
    // The same port on another address of loopback: where a second look at the name would lead.
    let elsewhere = Mirror::start_on(SocketAddr::new("127.0.0.2".parse().unwrap(), port));
    let other: IpAddr = "127.0.0.2".parse().unwrap();
    let names = Names::new(&[
        ("flip.example", &[&[LOOPBACK], &[other]]),
        ("mixed.example", &[&["10.0.0.1".parse().unwrap(), other, LOOPBACK]]),
    ]);
    let engine = engine_with(EgressOptions {
        open_loopback: Some(mirror.address),
        resolver: Some(names.clone()),
        ..EgressOptions::default()
    });
    let code = format!(
        "curl -sS http://flip.example:{port}/; curl -sS http://flip.example:{port}/; \
         curl -sS http://mixed.example:{port}/"
    );
    let result = run(&engine, "bash", code);
    let refused = format!("egress refused: flip.example:{port} (127.0.0.2 is a loopback address)");
    assert_eq!(
        result.stdout_text(),
        format!("mirror\n{refused}\nmirror\n"),
        "{}",
        result.stderr_text()
    );
    assert_eq!((result.success, result.error.as_deref()), (true, Some(refused.as_str())));
    assert_eq!(names.asked(), ["flip.example", "flip.example", "mixed.example"]);
    assert_eq!((mirror.heads().len(), elsewhere.heads().len()), (2, 0));
}

#[test]
fn the_allow_list_is_not_talked_round() {
    let mirror = Mirror::start();
    mirror.put("/", "mirror\n");
    let port = mirror.address.port();
    let everything: &[&[IpAddr]] = &[&[LOOPBACK]];
    let hosts = [
        "allowed.com",
        "a.pkg.example",
        "evil-allowed.com",
        "allowed.com.evil.tld",
        "evil.tld",
        "pkg.example",
    ];
    let names = Names::new(&hosts.map(|host| (host, everything)));
    let engine = engine_with(EgressOptions {
        allow: vec!["allowed.com".to_string(), "*.pkg.example".to_string()],
        open_loopback: Some(mirror.address),
        resolver: Some(names.clone()),
        ..EgressOptions::default()
    });
    let code = format!(
        "{RAW}\nfor host in b'allowed.com', b'ALLOWED.com.', b'a.pkg.example':\n  \
         if not absolute(host, {port}).endswith(b'mirror\\n'): print(host)\n  \
         if socks_name(host, {port}, b'GET / HTTP/1.0\\r\\n\\r\\n')[-7:] != b'mirror\\n': print('socks', host)\n\
         for host in b'evil-allowed.com', b'allowed.com.evil.tld', b'evil.tld', b'pkg.example', \
         b'evil\\0.allowed.com', b'allowed.com\\0.evil.tld', b'allowed.com@evil.tld', b'evil.tld@allowed.com', \
         b'xn--allowed-.com', 'аllowed.com'.encode(), b'allowed.com%00.evil.tld', b'127.0.0.1', b'evil.tld\\\\.allowed.com':\n  \
         for reply in connect(host, {port}), absolute(host, {port}):\n    \
         if reply[9:12] not in (b'403', b'400'): print(host, reply)\n  \
         if socks_name(host, {port})[1] != 2: print('socks', host)\nprint('end')"
    );
    let result = run(&engine, "python", code);
    assert_eq!(result.stdout_text(), "end\n", "{}", result.stderr_text());
    assert_eq!(mirror.heads().len(), 6);
    let asked = names.asked();
    assert!(asked.iter().all(|name| name == "allowed.com" || name == "a.pkg.example"), "{asked:?}");
}

#[test]
fn there_is_no_way_around_the_gateway() {
    if lacks(&["curl"]) {
        return;
    }
    let canary = Canary::start();
    let mirror = Mirror::start();
    let code = format!(
        "for h in 127.0.0.1 192.0.2.1 10.0.0.1 8.8.8.8; do curl -sS --noproxy '*' -m 3 http://$h:{}/ ; done\n\
         unset http_proxy HTTP_PROXY all_proxy ALL_PROXY; curl -sS -m 3 http://{NAME}:{}/; \
         getent hosts {NAME}; ls /proc/self/fd | wc -l; grep nameserver /etc/resolv.conf",
        canary.port,
        mirror.address.port()
    );
    let result = run(&mirror.engine(), "bash", code);
    // 0, 1, 2 and the directory itself: nothing of the gateway is inherited.
    assert_eq!(result.stdout_text(), "4\n", "{}", result.stderr_text());
    assert!(!canary.was_reached() && mirror.heads().is_empty());
}

#[test]
fn a_zerotrust_run_has_no_gateway() {
    let mirror = Mirror::start();
    let code = "env | grep -ci proxy; for p in 3128 1080; do (echo > /dev/tcp/127.0.0.1/$p) 2>/dev/null && echo open; done; true";
    let result = execute_on(&mirror.engine(), Request::new("bash", code)).unwrap();
    assert_eq!(result.stdout_text(), "0\n");
}

#[test]
fn the_request_may_set_the_variables_itself() {
    let mirror = Mirror::start();
    let request = semitrusted("bash", "echo $http_proxy,$HTTP_PROXY").env("http_proxy", "mine");
    let result = execute_on(&mirror.engine(), request).unwrap();
    assert_eq!(result.stdout_text(), "mine,http://127.0.0.1:3128\n");
}

#[test]
fn connections_that_say_nothing_hold_up_neither_others_nor_their_own_for_long() {
    if lacks(&["curl"]) {
        return;
    }
    let mirror = Mirror::start();
    mirror.put("/hello", "hello\n");
    let (engine, url) = (mirror.engine(), mirror.url());
    let code = format!(
        "import socket, urllib.request\nheld = []\nfor i in range(100):\n  \
         s = socket.create_connection(('127.0.0.1', 3128)); s.sendall(b'GET '); held.append(s)\n\
         print('holding', flush=True)\nprint(urllib.request.urlopen('{url}/hello').read())"
    );
    let (sink, events) = recorder();
    let threads = || threads_called("unsandbox-egres");
    engine.submit_job(Submission::validated(semitrusted("python", code)).unwrap(), sink).unwrap();
    await_said(&events, "holding\n", Duration::from_secs(10));
    assert!(within(Duration::from_secs(5), || threads() >= 64), "the limit is reached");
    let other = run(&engine, "bash", format!("curl -sS {url}/hello"));
    assert_eq!(other.stdout_text(), "hello\n", "{}", other.stderr_text());
    assert!(threads() >= 64, "the other run waited until they were let go of");
    // Those that say nothing are let go of after ten seconds, and those that waited behind them come in.
    // Without that, the program would still wait at its ttl.
    await_said(&events, "\n", Duration::from_secs(70));
    let result = await_end(&events);
    assert_eq!(result.stdout_text(), "holding\nb'hello\\n'\n", "{}", result.stderr_text());
}

#[test]
fn bytes_are_bounded() {
    if lacks(&["curl"]) {
        return;
    }
    let mirror = Mirror::start();
    mirror.put("/big", vec![b'x'; 3_000_000]);
    let names = Names::new(&[(NAME, &[&[LOOPBACK]])]);
    let engine = engine_with(EgressOptions {
        bytes_max: 1_000_000,
        open_loopback: Some(mirror.address),
        resolver: Some(names),
        ..EgressOptions::default()
    });
    let code = format!("curl -sS {0}/big | wc -c; curl -sS {0}/big; echo $?", mirror.url());
    let result = run(&engine, "bash", code);
    let text = result.stdout_text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<usize>().unwrap() <= 1_000_000, "{lines:?}");
    assert_eq!(lines[1], "7", "after it, nobody listens any more");
    assert_eq!(
        result.error.as_deref(),
        Some("egress ended: the run transferred more than 1000000 bytes, the limit")
    );
}

#[test]
fn nothing_of_the_gateway_is_left_after_the_run() {
    if lacks(&["curl"]) {
        return;
    }
    // A program of its own, so that no other test's threads and descriptors are counted.
    if std::env::var_os("ALONE").is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "nothing_of_the_gateway_is_left_after_the_run";
        let status =
            std::process::Command::new(own).args(["--exact", name]).env("ALONE", "1").status();
        return assert!(status.unwrap().success());
    }
    let mirror = Mirror::start();
    mirror.put("/hello", "hello\n");
    let engine = mirror.engine();
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let descriptors = || count("/proc/self/fd");
    run(&engine, "bash", format!("curl -sS {}/hello", mirror.url()));
    let settled = || threads_called("unsandbox-egres") + threads_called("unsandbox-dns") == 0;
    assert!(within(Duration::from_secs(2), settled));
    let before = descriptors();
    let port = mirror.address.port();
    let hang = format!(
        "import socket\nheld = []\nfor i in range(20):\n  s = socket.create_connection(('127.0.0.1', 3128))\n  \
         s.sendall(b'CONNECT {NAME}:{port} HTTP/1.1\\r\\n\\r\\n'); s.recv(100); held.append(s)\n\
         print('holding', flush=True)\ninput()\nimport time; time.sleep(60)"
    );
    let (sink, events) = recorder();
    let job = engine
        .submit_job(Submission::validated(semitrusted("python", hang)).unwrap(), sink)
        .unwrap();
    // It waits for input, of which there is none, and dies of that: the gateway ends with the program.
    await_said(&events, "holding\n", Duration::from_secs(10));
    assert_eq!(await_end(&events).job_id.as_deref(), Some(job.job_id.as_str()));
    assert!(within(Duration::from_secs(2), settled), "threads are left");
    // The mirror's own ends of the connections go with them.
    assert!(within(Duration::from_secs(2), || descriptors() <= before), "descriptors are left");
    let begin = Instant::now();
    drop(engine);
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_wrong_allow_list_is_an_error_at_the_start() {
    let egress =
        EgressOptions { allow: vec!["https://a.example".to_string()], ..EgressOptions::default() };
    let options = unsandbox_engine::EngineOptions { egress, ..Default::default() };
    let error = Engine::new(options).unwrap_err();
    assert!(error.message().contains("https://a.example"), "{error}");
}

/// Threads of this program, by the name that the kernel keeps (15 bytes).
fn threads_called(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// A fresh directory, and a script of the host that fills it.
fn scratch(name: &str) -> std::path::PathBuf {
    let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    let folder =
        std::env::temp_dir().join(format!("unsandbox-{name}-{user}-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("the temporary directory is writable");
    folder
}

fn host_bash(script: &str, folder: &std::path::Path) {
    let mut command = std::process::Command::new("/bin/bash");
    let status = command.args(["-c", script, "bash"]).arg(folder).status();
    assert!(status.expect("bash is here").success(), "the host could not prepare the files");
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
