echo started
while true
end
