<?php
// Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
require __DIR__ . '/../source/greeting.php';

echo greeting('PHP'), ' ', trim(file_get_contents(__DIR__ . '/../data.txt')), "\n";

// On all processors: PHP has no threads, so that this takes processes.
$parts = [];
foreach (range(0, 3) as $index) {
    $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, STREAM_IPPROTO_IP);
    $child = pcntl_fork();
    if ($child === 0) {
        fwrite($pair[1], serialize(['index' => $index, 'steps' => steps($index * 3000 + 1, ($index + 1) * 3000)]));
        exit($index);
    }
    fclose($pair[1]);
    $parts[$child] = $pair[0];
}
foreach ($parts as $child => $stream) {
    $part = unserialize(stream_get_contents($stream));
    pcntl_waitpid($child, $status);
    echo $part['index'], ':', pcntl_wexitstatus($status), ':', $part['steps'], ' ';
}
echo hash('sha256', str_repeat('pith', 100000)), "\n";
echo json_encode(array_map(null, [1, 2], ['ü', null])), ' ', ctype_alpha('pith') ? 'letters' : 'others', "\n";

$begin = hrtime(true);
usleep(50000);
echo hrtime(true) - $begin >= 50000000 ? 'slept' : 'woke early', ' ', date('Y-m-d e', 86400), "\n";

$begin = hrtime(true);
pcntl_sigprocmask(SIG_BLOCK, [SIGUSR1]);
$late = pcntl_sigtimedwait([SIGUSR1], $information, 0, 30000000);
echo $late === -1 && hrtime(true) - $begin >= 30000000 ? 'timed out' : 'ended early', "\n";

// PHP's own server, in a process of its own, asked by its streams for HTTP.
$reserved = stream_socket_server('tcp://127.0.0.1:0');
$address = stream_socket_get_name($reserved, false);
fclose($reserved);
$log = ['file', '/dev/null', 'w'];
$server = proc_open([PHP_BINARY, '-S', $address, __DIR__ . '/../source/router.php'], [1 => $log, 2 => $log], $pipes);
while (!($probe = @stream_socket_client("tcp://$address")) && proc_get_status($server)['running']) {
    usleep(10000);
}
fclose($probe);
$context = stream_context_create(['http' => ['ignore_errors' => true, 'timeout' => 20]]);
foreach (['/page', '/other'] as $path) {
    $body = file_get_contents("http://$address$path", false, $context);
    echo explode(' ', $http_response_header[0])[1], ' ', $body;
}
proc_terminate($server);
do {
    usleep(1000);
    $status = proc_get_status($server);
} while ($status['running']);
echo $status['signaled'] ? "ended by signal {$status['termsig']}" : "ended with {$status['exitcode']}", "\n";
try {
    null_object()->method();
} catch (Error $error) {
    echo $error->getMessage(), "\n";
}

function null_object()
{
    return null;
}

function steps($from, $to)
{
    $steps = 0;
    for ($start = $from; $start <= $to; $start++) {
        for ($value = $start; $value !== 1; $steps++) {
            $value = $value % 2 === 0 ? intdiv($value, 2) : 3 * $value + 1;
        }
    }
    return $steps;
}
