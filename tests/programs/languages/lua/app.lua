-- Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
local greeting = require("greeting")
local http = require("socket.http")
local socket = require("socket")
print(greeting("Lua"), io.open("data.txt"):read("l"))

-- On all processors: Lua has no threads, so that this takes processes.
local function start(...)
  return io.popen(table.concat({ "exec", arg[-1], ... }, " "))
end
local workers = {}
for index = 0, 3 do
  workers[index] = start("worker.lua", index * 3000 + 1, (index + 1) * 3000)
end
for index = 0, 3 do
  print(workers[index]:read("n"), workers[index]:close())
end

local begin = socket.gettime()
local timers, fired = {}, {}
for _, time in ipairs({ 0.06, 0.02, 0.04 }) do
  table.insert(timers, coroutine.wrap(function()
    while socket.gettime() - begin < time do
      coroutine.yield()
    end
    table.insert(fired, time)
    return true
  end))
end
while #timers > 0 do
  for index = #timers, 1, -1 do
    if timers[index]() then
      table.remove(timers, index)
    end
  end
  socket.sleep(0.001)
end
-- Where the machine is slow, two may be due at once.
table.sort(fired)
print(table.concat(fired, " "), os.date("!%Y-%m-%d", 86400), collectgarbage("count") > 0)

local server = start("server.lua", 2)
local port = server:read("n")
for _, path in ipairs({ "/page", "/other" }) do
  local body, status = http.request("http://127.0.0.1:" .. port .. path)
  print(status, body)
end
print(server:close())
print(http.request("http://127.0.0.1:1/"))
print(pcall(function() return nil + 1 end))
