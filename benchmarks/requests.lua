-- wrk: one request after the other, each with the next Authorization header of the file.
local headers, turn = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do headers[#headers + 1] = line end
end

function request()
  turn = turn % #headers + 1
  return wrk.format("GET", "/who", {["Authorization"] = headers[turn], ["Accept"] = "application/json"})
end
