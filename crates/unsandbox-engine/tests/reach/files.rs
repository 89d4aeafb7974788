// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that the program is shown and does not own the right to change, and the space that it takes.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn what_is_shown_keeps_its_rights_times_and_attributes() {
    let venv = std::env::temp_dir().join(format!("unsandbox-venv-{}", std::process::id()));
    let made = Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // Of the folder itself only what Python needs is shown.
    let lib = std::fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    let file = lib.join("site-packages/module.py");
    std::fs::write(&file, "x = 1\n").unwrap();
    // Readable for a run of root's, which has another id.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&venv, std::fs::Permissions::from_mode(0o755)).unwrap();
    let code = format!(
        "import os, fcntl\nfd = os.open({:?}, os.O_RDONLY)\n\
         tries = dict(fchmod=lambda: os.fchmod(fd, 0o666), fchown=lambda: os.fchown(fd, -1, os.getgid()),\n\
           xattr=lambda: os.setxattr(fd, 'user.x', b'1'), unxattr=lambda: os.removexattr(fd, 'user.x'),\n\
           times=lambda: os.utime(fd, (0, 0)), flags=lambda: fcntl.ioctl(fd, 0x40086602, b'\\x80' + bytes(7)),\n\
           generation=lambda: fcntl.ioctl(fd, 0x40086604, bytes(8)))\n\
         for name, change in tries.items():\n  try: change(); print(name)\n  except OSError: pass\n\
         own = open('own', 'w'); os.utime(own.fileno()); print('end')",
        file.display().to_string()
    );
    let program = venv.join("bin/python3").display().to_string();
    let result = reduced(Request::new("python", &code).runtime(&program).ttl(30));
    assert_eq!(result.stdout_text(), "end\n", "{}", result.stderr_text());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    std::fs::remove_dir_all(&venv).unwrap();
}

#[test]
fn calls_of_newer_kernels_change_no_attributes_either() {
    let code = "int main() { int fd = open(\"own\", O_CREAT | O_RDWR, 0600);\n\
        struct { uint64_t value; uint32_t size, flags; } set = {(uint64_t)\"x\", 1, 0};\n\
        uint64_t attributes[4] = {0x80};\n\
        SAY(\"setxattrat\", syscall(463, AT_FDCWD, \"own\", 0, \"user.x\", &set, sizeof set));\n\
        SAY(\"removexattrat\", syscall(466, AT_FDCWD, \"own\", 0, \"user.x\"));\n\
        SAY(\"file_setattr\", syscall(469, AT_FDCWD, \"own\", attributes, 24, 0)); return fd < 0; }";
    let denied = "Operation not permitted";
    let expected =
        format!("setxattrat: {denied}\nremovexattrat: {denied}\nfile_setattr: {denied}\n");
    assert_eq!(reduced_c(code).stdout_text(), expected);
}

#[test]
fn files_without_a_name_count() {
    let limits = Limits { work_bytes: Some(64 << 20), ..Limits::default() };
    let code = "int main() { for (int i = 0; i < 8; i++) {\n\
        int fd = open(\"big\", O_RDWR | O_CREAT | O_EXCL, 0600); unlink(\"big\");\n\
        if (fallocate(fd, 0, 0, 20 * MB)) perror(\"fallocate\"); }\n\
        sleep(20); return 0; }";
    assert_limit(&reduced(c_program(code).limits(limits)), LimitKind::Files);
}

#[test]
fn files_below_a_path_that_nobody_can_name_count() {
    let limits = Limits { work_bytes: Some(64 << 20), ..Limits::default() };
    let code = "int main() { char name[201] = {0}; memset(name, 'd', 200);\n\
        for (int i = 0; i < 40; i++) if (mkdir(name, 0700) || chdir(name)) perror(\"mkdir\");\n\
        for (int i = 0; i < 8; i++) { char f[9]; sprintf(f, \"f%d\", i);\n\
          if (fallocate(open(f, O_CREAT | O_RDWR, 0600), 0, 0, 20 * MB)) perror(\"fallocate\"); }\n\
        sleep(20); return 0; }";
    assert_limit(&reduced(c_program(code).limits(limits)), LimitKind::Files);
}

#[test]
fn files_in_a_folder_that_its_owner_may_not_read_count() {
    let limits = Limits { work_bytes: Some(64 << 20), ..Limits::default() };
    let small = reduced(Request::new("bash", "mkdir -m 0 shut; sleep 1; stat -c %a shut").ttl(20));
    assert_eq!(small.stdout_text(), "0\n", "it is measured, and stays as it is: {small:?}");
    let code = "int main() { mkdir(\"shut\", 0300);\n\
        for (int i = 0; i < 8; i++) { char f[9]; sprintf(f, \"shut/%d\", i);\n\
          if (fallocate(open(f, O_CREAT | O_RDWR, 0600), 0, 0, 20 * MB)) perror(\"fallocate\"); }\n\
        sleep(20); return 0; }";
    assert_limit(&reduced(c_program(code).limits(limits)), LimitKind::Files);
}

#[test]
fn folders_nest_so_deep_and_no_deeper() {
    let code = "int main() { for (int i = 0; i < 1500; i++) if (mkdir(\"d\", 0700) || chdir(\"d\")) perror(\"mkdir\");\n\
        sleep(20); return 0; }";
    assert_limit(&reduced_c(code), LimitKind::Files);
}
