package lab.itrust;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class LoginTest {
    @Test
    public void passwordIsHashedAsTheTableHasIt() {
        assertEquals("30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4", Login.hash("pw", ""));
    }

    @Test
    public void whatIsNoNumberIsNoUser() {
        assertEquals(9000000001L, Login.number("9000000001"));
        assertEquals(0, Login.number("1 OR 1=1"));
        assertEquals(0, Login.number(null));
    }

    @Test
    public void threeFailuresLockAnAddressOut() {
        assertFalse(Login.isLockedOut(2));
        assertTrue(Login.isLockedOut(3));
    }
}
