-- wrk: one request after the other, each with the next of the Authorization headers given.
local headers, turn = {}, 0

function init(arguments)
  headers = arguments
end

function request()
  turn = turn % #headers + 1
  return wrk.format("GET", "/who", {["Authorization"] = headers[turn], ["Accept"] = "application/json"})
end
