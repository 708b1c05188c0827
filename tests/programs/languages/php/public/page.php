<?php
// A page for PHP's own server.
require __DIR__ . '/../source/greeting.php';

header('Content-Type: text/plain');
echo greeting('PHP'), ' ', trim(file_get_contents(__DIR__ . '/../data.txt')), "\n";
echo $_SERVER['REQUEST_METHOD'], ' ', $_GET['word'], ' ', hash('sha256', $_GET['word']), "\n";
