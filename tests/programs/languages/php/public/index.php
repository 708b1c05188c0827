<?php
// Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
require __DIR__ . '/../source/greeting.php';

echo greeting('PHP'), ' ', trim(file_get_contents(__DIR__ . '/../data.txt')), "\n";
$steps = 0;
for ($start = 1; $start < 30000; $start++) {
    for ($value = $start; $value !== 1; $steps++) {
        $value = $value % 2 === 0 ? intdiv($value, 2) : 3 * $value + 1;
    }
}
echo $steps, ' ', hash('sha256', str_repeat('pith', 100000)), "\n";
echo json_encode(array_map(null, [1, 2], ['ü', null])), ' ', ctype_alpha('pith') ? 'letters' : 'others', "\n";

$begin = hrtime(true);
usleep(50000);
echo hrtime(true) - $begin >= 50000000 ? 'slept' : 'woke early', ' ', date('Y-m-d e', 86400), "\n";

// A server and a client in one process, which has no threads: the answer waits in the buffers.
$server = stream_socket_server('tcp://127.0.0.1:0');
$client = stream_socket_client('tcp://' . stream_socket_get_name($server, false));
fwrite($client, "GET /page HTTP/1.0\r\n\r\n");
$connection = stream_socket_accept($server);
[, $path] = explode(' ', fgets($connection));
fwrite($connection, "HTTP/1.0 200 OK\r\n\r\nyou asked for $path\n");
fclose($connection);
echo str_replace("\r\n", '|', stream_get_contents($client));
try {
    null_object()->method();
} catch (Error $error) {
    echo $error->getMessage(), "\n";
}

function null_object()
{
    return null;
}
