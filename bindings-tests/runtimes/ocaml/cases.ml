(* SPDX-License-Identifier: MIT OR Apache-2.0 *)
(* Answers the lines of ../driver.py. *)
let clients = Hashtbl.create 8

let client_of url key =
  match Hashtbl.find_opt clients (url, key) with
  | Some client -> client
  | None ->
      let client = if key = "-" then Unsandbox.make url else Unsandbox.make ~api_key:key url in
      Hashtbl.add clients (url, key) client;
      client

let answer line =
  match String.split_on_char '\t' line with
  | [ url; key; name; json ] -> (
      try "ok\t" ^ Unsandbox.call_json (client_of url key) name json
      with Unsandbox.Error { code; message } -> code ^ "\t" ^ message)
  | _ -> failwith "a line has four words"

let () =
  (try
     while true do
       print_endline (answer (input_line stdin))
     done
   with End_of_file -> ());
  Hashtbl.iter (fun _ client -> Unsandbox.close client) clients
