/* Password: pw */
INSERT INTO Personnel(MID, lastName, firstName) VALUES(9000000001, 'Example', 'Erin');
INSERT INTO USERS(MID, Password, Role) VALUES(9000000001, '30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4', 'hcp');
