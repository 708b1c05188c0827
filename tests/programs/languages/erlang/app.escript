#!/usr/bin/env escript
%% Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
%%! +A 2
-mode(compile).

steps(1, Count) -> Count;
steps(Value, Count) when Value rem 2 =:= 0 -> steps(Value div 2, Count + 1);
steps(Value, Count) -> steps(3 * Value + 1, Count + 1).

%% One process for each part, on all processors.
count_in_parallel(Parts, Size) ->
    Self = self(),
    [spawn_link(fun() ->
        From = Part * Size + 1,
        Self ! {steps, lists:sum([steps(Start, 0) || Start <- lists:seq(From, From + Size - 1)])}
    end) || Part <- lists:seq(0, Parts - 1)],
    lists:sum([receive {steps, Sum} -> Sum end || _ <- lists:seq(1, Parts)]).

timers() ->
    Begin = erlang:monotonic_time(millisecond),
    [erlang:send_after(Time, self(), {after_time, Time}) || Time <- [60, 20, 40]],
    Order = [receive {after_time, Time} -> Time end || Time <- [20, 40, 60]],
    {Order, erlang:monotonic_time(millisecond) - Begin >= 60}.

ring(Count) ->
    Self = self(),
    Last = lists:foldl(fun(_, Next) ->
        spawn(fun() -> receive Token -> Next ! Token + 1 end end)
    end, Self, lists:seq(1, Count)),
    Last ! 0,
    receive Hops -> Hops end.

web() ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, Server} = inets:start(httpd, [
        {port, 0}, {server_name, "localhost"}, {bind_address, {127, 0, 0, 1}},
        {server_root, "/tmp"}, {document_root, filename:absname(".")}]),
    [{port, Port}] = httpd:info(Server, [port]),
    Address = "http://127.0.0.1:" ++ integer_to_list(Port) ++ "/",
    {ok, {{_, Found, _}, _, Body}} = httpc:request(Address ++ "data.txt"),
    {ok, {{_, Missing, _}, _, _}} = httpc:request(Address ++ "missing.txt"),
    ok = inets:stop(httpd, Server),
    {Found, string:trim(Body), Missing}.

main(Arguments) ->
    {ok, Data} = file:read_file("data.txt"),
    io:format("hello from Erlang ~s ~p~n", [string:trim(Data), Arguments]),
    io:format("~p ~p~n", [count_in_parallel(8, 500), erlang:system_info(schedulers) >= 1]),
    io:format("~p ~p~n", [timers(), ring(1000)]),
    io:format("~p~n", [web()]),
    %% The helper starts another process, the shell in this case.
    io:format("~p~n", [os:cmd("echo from a shell; exit 3")]),
    io:format("~p~n", [try 1 / length(Arguments -- Arguments) catch error:Why -> Why end]),
    halt(0).
