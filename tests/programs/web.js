// A server of HTTP: GET /hello greets, POST /echo sends back what was sent.
'use strict';
const http = require('http');

http.createServer((request, answer) => {
    if (request.url === '/hello') {
        answer.end('hello from Pith\n');
    } else if (request.url === '/echo') {
        const parts = [];
        request.on('data', part => parts.push(part));
        request.on('end', () => answer.end(Buffer.concat(parts)));
    } else {
        answer.statusCode = 404;
        answer.end('there is no such page\n');
    }
}).listen(8080, '0.0.0.0');
