<?php
// What the server of the test answers.
http_response_code($_SERVER['REQUEST_URI'] === '/page' ? 200 : 404);
echo "you asked for {$_SERVER['REQUEST_URI']}\n";
