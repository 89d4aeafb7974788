program Errs;
begin
  WriteLn(StdErr, 'oops');
end.
