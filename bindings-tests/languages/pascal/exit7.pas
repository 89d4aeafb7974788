program Exits;
begin
  Halt(7);
end.
