INSERT INTO hospitals(HospitalID, HospitalName) VALUES('9', 'Lab Hospital 9');
INSERT INTO hospitals(HospitalID, HospitalName) VALUES('1', 'Lab Hospital 1');
