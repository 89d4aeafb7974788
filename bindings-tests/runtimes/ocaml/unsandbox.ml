(* SPDX-License-Identifier: MIT OR Apache-2.0 *)
(* unsandbox from OCaml through ctypes. Other domains and threads run on during a call. *)
open Ctypes

exception Error of { code : string; message : string }

let lib = Dl.dlopen ~filename:"libunsandbox.so.0.1" ~flags:[ Dl.RTLD_NOW ]
let c name typ = Foreign.foreign ~from:lib ("unsandbox_" ^ name) typ
let slow name typ = Foreign.foreign ~from:lib ~release_runtime_lock:true ("unsandbox_" ^ name) typ
let out = ptr (ptr void)
let config_new = c "config_new" (out @-> out @-> returning int32_t)
let set_base_url = c "config_set_base_url" (ptr void @-> string @-> size_t @-> out @-> returning int32_t)
let set_api_key = c "config_set_api_key" (ptr void @-> string @-> size_t @-> out @-> returning int32_t)
let config_free = c "config_free" (ptr void @-> returning void)
let client_from_env = c "client_from_env" (out @-> out @-> returning int32_t)
let client_new = c "client_new" (ptr void @-> out @-> out @-> returning int32_t)
let close = c "client_free" (ptr void @-> returning void)
let error_name = c "error_name" (ptr void @-> ptr void @-> returning string)
let error_message = c "error_message" (ptr void @-> ptr void @-> returning string)
let error_free = c "error_free" (ptr void @-> returning void)
let request_new = c "request_new" (string @-> size_t @-> string @-> size_t @-> out @-> out @-> returning int32_t)
let request_free = c "request_free" (ptr void @-> returning void)
let client_execute = slow "client_execute" (ptr void @-> ptr void @-> ptr void @-> out @-> out @-> returning int32_t)
let result_stdout = c "result_stdout" (ptr void @-> ptr size_t @-> returning (ptr char))
let result_exit_code = c "result_exit_code" (ptr void @-> returning int32_t)
let result_free = c "result_free" (ptr void @-> returning void)

(* Its text is passed as memory of C: the collector may move a string while the lock is released. *)
let client_call_json =
  slow "client_call_json"
    (ptr void @-> ptr char @-> size_t @-> ptr char @-> size_t @-> out @-> ptr size_t @-> out @-> returning int32_t)

let string_free = c "string_free" (ptr void @-> returning void)
let size text = Unsigned.Size_t.of_int (String.length text)
let slot () = allocate (ptr void) null

(* Calls an operation, whose last argument receives an error. *)
let check operation =
  let err = slot () in
  if operation err <> 0l then begin
    let code = error_name !@err null and message = error_message !@err null in
    error_free !@err;
    raise (Error { code; message })
  end

(** Endpoint and key come from the environment. *)
let from_env () =
  let client = slot () in
  check (client_from_env client);
  !@client

(** A client of one endpoint. *)
let make ?api_key base_url =
  let config = slot () and client = slot () in
  check (config_new config);
  Fun.protect
    ~finally:(fun () -> config_free !@config)
    (fun () ->
      check (set_base_url !@config base_url (size base_url));
      Option.iter (fun key -> check (set_api_key !@config key (size key))) api_key;
      check (client_new !@config client));
  !@client

(** Runs a program; gives its output and its exit code. *)
let execute client language code =
  let request = slot () and result = slot () and len = allocate size_t Unsigned.Size_t.zero in
  check (request_new language (size language) code (size code) request);
  Fun.protect
    ~finally:(fun () -> request_free !@request)
    (fun () -> check (client_execute client !@request null result));
  let data = result_stdout !@result len in
  let output = string_from_ptr data ~length:(Unsigned.Size_t.to_int !@len) in
  let exit_code = Int32.to_int (result_exit_code !@result) in
  result_free !@result;
  (output, exit_code)

(** Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON. *)
let call_json client name json =
  let reply = slot () and len = allocate size_t Unsigned.Size_t.zero in
  let name_c = CArray.of_string name and json_c = CArray.of_string json in
  check (client_call_json client (CArray.start name_c) (size name) (CArray.start json_c) (size json) reply len);
  let text = string_from_ptr (from_voidp char !@reply) ~length:(Unsigned.Size_t.to_int !@len) in
  string_free !@reply;
  text
