program Loops;
begin
  WriteLn('started');
  Flush(Output);
  while True do ;
end.
