(* SPDX-License-Identifier: MIT OR Apache-2.0 *)
(* Runs one program and prints what it wrote:
   ocamlfind ocamlopt -thread -package threads.posix,ctypes,ctypes.foreign -linkpkg unsandbox.ml hello.ml -o hello *)
let () =
  let client = Unsandbox.from_env () in
  let output, exit_code = Unsandbox.execute client "python" "print(6 * 7)" in
  print_string output;
  Unsandbox.close client;
  exit exit_code
