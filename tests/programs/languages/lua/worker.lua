-- Says how many steps the numbers from the first to the last argument take.
local steps = 0
for start = math.tointeger(arg[1]), math.tointeger(arg[2]) do
  local value = start
  while value ~= 1 do
    value = value % 2 == 0 and value // 2 or 3 * value + 1
    steps = steps + 1
  end
end
print(steps)
