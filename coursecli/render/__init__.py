"""What people see: results, differences, lessons and mathematics, for any screen from 40 to 200 columns."""
