(* Several things that a runtime does, one after the other; what is printed depends on nothing but the program. *)
let rec steps value count =
  if value = 1 then count
  else steps (if value mod 2 = 0 then value / 2 else (3 * value) + 1) (count + 1)

(* OCaml's threads take turns, so that all processors take processes. *)
let compute () =
  let part index =
    let input, output = Unix.pipe ~cloexec:true () in
    match Unix.fork () with
    | 0 ->
        let sum = ref 0 in
        for start = (index * 25_000) + 1 to (index + 1) * 25_000 do
          sum := !sum + steps start 0
        done;
        let channel = Unix.out_channel_of_descr output in
        Marshal.to_channel channel (index, !sum) [];
        flush channel;
        Unix._exit index
    | child ->
        Unix.close output;
        (child, Unix.in_channel_of_descr input)
  in
  let finish (child, channel) =
    let index, (sum : int) = Marshal.from_channel channel in
    close_in channel;
    match Unix.waitpid [] child with
    | _, Unix.WEXITED status -> Printf.printf "%d:%d:%d " index status sum
    | _ -> print_string "killed "
  in
  flush stdout;
  List.iter finish (List.map part [ 0; 1; 2; 3 ]);
  print_newline ()

(* The library has no HTTP: a few lines of it, on both sides. *)
let web () =
  let server = Unix.socket ~cloexec:true Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.bind server (Unix.ADDR_INET (Unix.inet_addr_loopback, 0));
  Unix.listen server 5;
  let rec skip_headers input = if input_line input <> "\r" then skip_headers input in
  let answer () =
    let connection, _ = Unix.accept ~cloexec:true server in
    let input = Unix.in_channel_of_descr connection in
    let path = Scanf.sscanf (input_line input) "GET %s HTTP/1.0" Fun.id in
    skip_headers input;
    let status = if path = "/page" then "200 OK" else "404 Not Found" in
    let output = Unix.out_channel_of_descr connection in
    Printf.fprintf output "HTTP/1.0 %s\r\n\r\nyou asked for %s\n" status path;
    close_out output
  in
  let paths = [ "/page"; "/other" ] in
  let thread = Thread.create (fun () -> List.iter (fun _ -> answer ()) paths) () in
  let ask path =
    let input, output = Unix.open_connection (Unix.getsockname server) in
    Printf.fprintf output "GET %s HTTP/1.0\r\n\r\n" path;
    flush output;
    let status = Scanf.sscanf (input_line input) "HTTP/1.0 %d" Fun.id in
    skip_headers input;
    Printf.printf "%d %s\n" status (input_line input);
    close_in input
  in
  List.iter ask paths;
  Thread.join thread

let () =
  print_endline "hello from OCaml";
  compute ();

  let start = Unix.gettimeofday () and in_time = ref 0 and lock = Mutex.create () in
  let sleeper time =
    Thread.delay time;
    Mutex.lock lock;
    if Unix.gettimeofday () -. start >= time then incr in_time;
    Mutex.unlock lock
  in
  List.iter Thread.join (List.map (Thread.create sleeper) [ 0.06; 0.02; 0.04 ]);
  print_endline (string_of_int !in_time);
  let fired = ref 0 in
  Sys.set_signal Sys.sigalrm (Sys.Signal_handle (fun _ -> incr fired));
  ignore (Unix.setitimer Unix.ITIMER_REAL { Unix.it_interval = 0.01; it_value = 0.01 });
  while !fired < 3 do
    Thread.yield ()
  done;
  ignore (Unix.setitimer Unix.ITIMER_REAL { Unix.it_interval = 0.; it_value = 0. });
  print_endline "three alarms";

  web ();

  (* The stack's end is found by SIGSEGV, of which the runtime makes an exception. *)
  let rec deep depth = 1 + deep (depth + 1) in
  (try print_int (deep 0) with Stack_overflow -> print_endline "the stack overflowed");
  try print_int (List.hd []) with Failure message -> print_endline message
