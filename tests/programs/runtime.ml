(* Several things that a runtime does, one after the other; what is printed depends on nothing but the program. *)
let rec steps value count =
  if value = 1 then count
  else steps (if value mod 2 = 0 then value / 2 else (3 * value) + 1) (count + 1)

let () =
  print_endline "hello from OCaml";
  let sum = ref 0 in
  for start = 1 to 100_000 do
    sum := !sum + steps start 0
  done;
  print_endline (string_of_int !sum);

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

  let server = Unix.socket Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.bind server (Unix.ADDR_INET (Unix.inet_addr_loopback, 0));
  Unix.listen server 5;
  let answer () =
    let connection, _ = Unix.accept server in
    let request = input_line (Unix.in_channel_of_descr connection) in
    let output = Unix.out_channel_of_descr connection in
    output_string output ("you sent " ^ request);
    close_out output
  in
  let thread = Thread.create answer () in
  let input, output = Unix.open_connection (Unix.getsockname server) in
  output_string output "a line\n";
  flush output;
  print_endline (input_line input);
  Thread.join thread;

  (* The stack's end is found by SIGSEGV, of which the runtime makes an exception. *)
  let rec deep depth = 1 + deep (depth + 1) in
  (try print_int (deep 0) with Stack_overflow -> print_endline "the stack overflowed");
  try print_int (List.hd []) with Failure message -> print_endline message
