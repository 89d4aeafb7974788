with Ada.Text_IO; use Ada.Text_IO;

procedure Errs is
begin
   Put_Line (Standard_Error, "oops");
end Errs;
