procedure Broken is
begin
   raise Program_Error with "no way on";
end Broken;
