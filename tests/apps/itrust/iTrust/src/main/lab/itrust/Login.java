package lab.itrust;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.SQLException;

/** Passwords, names, and log-ins that failed: counted in the database by the address they came from. */
public final class Login {
    /** After so many failures an address has to solve a puzzle first; here it just cannot log in. */
    static final int ALLOWED_FAILURES = 3;

    private Login() {
    }

    /** What the table of users has as a password. */
    public static String hash(String password, String salt) {
        try {
            byte[] sum = MessageDigest.getInstance("SHA-256").digest((password + salt).getBytes(StandardCharsets.UTF_8));
            StringBuilder digits = new StringBuilder();
            for (byte one : sum) {
                digits.append(String.format("%02x", one));
            }
            return digits.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** A user's number; 0 for what is none. */
    public static long number(String text) {
        return text != null && text.matches("[0-9]{1,10}") ? Long.parseLong(text) : 0;
    }

    public static String salt(String user) throws SQLException {
        return Database.text("", "SELECT Salt FROM users WHERE MID = ?", number(user));
    }

    public static String name(String user) throws SQLException {
        return Database.text("nobody", "SELECT CONCAT(firstName, ' ', lastName) FROM personnel WHERE MID = ?", number(user));
    }

    public static int failures(String address) throws SQLException {
        return Integer.parseInt(Database.text("0", "SELECT failureCount FROM loginfailures WHERE IPAddress = ?", address));
    }

    public static boolean isLockedOut(int failures) {
        return failures >= ALLOWED_FAILURES;
    }

    public static void failed(String address) throws SQLException {
        Database.change("INSERT INTO loginfailures(IPAddress, failureCount) VALUES(?, 1)"
            + " ON DUPLICATE KEY UPDATE failureCount = failureCount + 1", address);
    }

    public static void succeeded(String address) throws SQLException {
        Database.change("UPDATE loginfailures SET failureCount = 0 WHERE IPAddress = ? AND failureCount > 0", address);
    }
}
