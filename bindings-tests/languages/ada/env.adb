with Ada.Text_IO;
with Ada.Environment_Variables;

procedure Env is
begin
   Ada.Text_IO.Put_Line (Ada.Environment_Variables.Value ("GREETING"));
end Env;
