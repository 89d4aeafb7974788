program Hello;
begin
  WriteLn('hello from pascal');
end.
