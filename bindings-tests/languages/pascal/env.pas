program Env;
uses SysUtils;
begin
  WriteLn(GetEnvironmentVariable('GREETING'));
end.
