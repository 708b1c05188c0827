-- Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
local greeting = require("greeting")
print(greeting("Lua"), io.open("data.txt"):read("l"))
local steps = 0
for start = 1, 30000 do
  local value = start
  while value ~= 1 do
    value = value % 2 == 0 and value // 2 or 3 * value + 1
    steps = steps + 1
  end
end
print(steps, collectgarbage("count") > 0)
local begin = os.clock()
repeat until os.clock() - begin >= 0.05
print(os.date("!%Y-%m-%d", 86400), pcall(function() return nil + 1 end))
