-- wrk asks an OFREP server: `wrk -s evaluate.lua URL -- single|bulk FLAGS TOKEN`. Every request is for another user.
dofile("bench/balancer/wrk.lua")

local countries = { "DE", "AT", "US" }
local mode, flags, headers
local number = 0

function init(args)
  mode, flags = args[1], tonumber(args[2])
  headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. args[3] }
end

function request()
  number = number + 1
  local path = "/ofrep/v1/evaluate/flags"
  if mode == "single" then path = path .. string.format("/flag-%03d", number % flags) end
  local body = string.format('{"context": {"targetingKey": "user-%d", "country": "%s", "age": %d}}',
    number, countries[number % 3 + 1], 10 + number % 80)
  return wrk.format("POST", path, headers, body)
end
