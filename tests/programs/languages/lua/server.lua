-- Says its port, and answers as many requests as the argument says.
local server = require("socket").bind("127.0.0.1", 0)
local _, port = server:getsockname()
print(port)
io.stdout:flush()
for _ = 1, arg[1] do
  local client = server:accept()
  local path = client:receive():match("^GET (%S+)")
  repeat until client:receive() == ""
  local status = path == "/page" and "200 OK" or "404 Not Found"
  client:send("HTTP/1.1 " .. status .. "\r\nConnection: close\r\n\r\nyou asked for " .. path)
  client:close()
end
